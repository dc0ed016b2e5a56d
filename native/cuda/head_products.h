// Float32 products of few rows, all heads in one launch: what a library would need a call a head for.
#pragma once

#include <cstdint>

#include "cuda/context.h"
#include "relic/status.h"

namespace relic::cuda {

// For every head h: c (m, n) (+)= a (m, k) b (k, n) + mass (m) bias (n), element (i, j) of an operand at
// data[h * head + i * row + j * col]. Sums run through k in order, whatever m, n and the other heads are.
struct HeadProducts {
  struct Matrix {
    const float* data;
    int64_t head, row, col;
  };
  int64_t heads, m, n, k;
  Matrix a, b;
  float* c;
  int64_t cHead, cRow;
  bool accumulate;
  // Null, or mass[h + i * massRow] and bias[h * n + j].
  const float* mass;
  int64_t massRow;
  const float* bias;
};

Status headProducts(Context& context, const HeadProducts& products);

}  // namespace relic::cuda
