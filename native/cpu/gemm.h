// Single-precision matrix product on packed panels, after Goto and van de Geijn, "Anatomy of high-performance matrix
// multiplication" (2008). The inner tile is the ISA's own; this is the blocking around it and the split over threads.
#pragma once

#include <cstdint>

#include "ops.h"

namespace relic {

// A matrix of (lines, depth): element (line, t) is data[line * lineStride + t * depthStride]. One stride is 1. The
// lines are rows of the left factor or columns of the right one; depth is what the product sums over.
struct Factor {
  const float* data;
  int64_t lineStride;
  int64_t depthStride;
};

// c (m, n; ldc) (+)= a (m, k) b (k, n) + bias; bias (n) or null, and null where it accumulates.
// Sums have the same order for the same shape and number of threads.
void gemm(Context&, int64_t m, int64_t n, int64_t k, const Factor& a, const Factor& b, float* c, int64_t ldc,
          const float* bias, bool accumulate);

}  // namespace relic
