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

// c (rows, cols; ldc) (+)= a b, on one thread: a's element (i, t) is at a[i * aRow + t * aStep], b (depth, cols) is packed
// in panels of tileCols lines.
void multiplyPanels(const ProductKernels&, int64_t rows, int64_t cols, int64_t depth, const float* a, int64_t aRow,
                    int64_t aStep, const float* b, float* c, int64_t ldc, bool accumulate);

}  // namespace relic
