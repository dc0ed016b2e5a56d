#include "cuda/head_products.h"

#include "cuda/launch.h"

namespace relic::cuda {
namespace {

// A block: 32 x 32 elements of c, four rows a thread.
constexpr int kTile = 32;
constexpr int kLines = kThreads / kTile;

// Rows from and cols from of a matrix to shared memory, 0 beyond its end; neighbouring threads read neighbours.
__device__ __forceinline__ void stage(float (&to)[kTile][kTile + 1], const HeadProducts::Matrix& from, int64_t row,
                                      int64_t rows, int64_t col, int64_t cols) {
  const int lane = static_cast<int>(threadIdx.x) % kTile, line = static_cast<int>(threadIdx.x) / kTile;
  const bool alongCols = from.col == 1;
  for (int each = line; each < kTile; each += kLines) {
    const int r = alongCols ? each : lane, c = alongCols ? lane : each;
    const bool inside = row + r < rows && col + c < cols;
    to[r][c] = inside ? from.data[(row + r) * from.row + (col + c) * from.col] : 0.0f;
  }
}

__global__ void __launch_bounds__(kThreads) headProductsKernel(HeadProducts p) {
  __shared__ float a[kTile][kTile + 1], b[kTile][kTile + 1];
  const int64_t head = blockIdx.z, row = static_cast<int64_t>(blockIdx.y) * kTile;
  const int64_t col = static_cast<int64_t>(blockIdx.x) * kTile;
  p.a.data += head * p.a.head;
  p.b.data += head * p.b.head;
  const int lane = static_cast<int>(threadIdx.x) % kTile, line = static_cast<int>(threadIdx.x) / kTile;
  float sums[kTile / kLines] = {};
  for (int64_t k = 0; k < p.k; k += kTile) {
    stage(a, p.a, row, p.m, k, p.k);
    stage(b, p.b, k, p.k, col, p.n);
    __syncthreads();
    // A sum of its own for each tile: one over all of them would round as often as it has terms.
    float parts[kTile / kLines] = {};
    RELIC_UNROLL
    for (int step = 0; step < kTile; step++) {
      RELIC_UNROLL
      for (int i = 0; i < kTile / kLines; i++) parts[i] = fmaf(a[line + i * kLines][step], b[step][lane], parts[i]);
    }
    RELIC_UNROLL
    for (int i = 0; i < kTile / kLines; i++) sums[i] += parts[i];
    __syncthreads();
  }
  const int64_t j = col + lane;
  if (j >= p.n) return;
  RELIC_UNROLL
  for (int i = 0; i < kTile / kLines; i++) {
    const int64_t at = row + line + i * kLines;
    if (at >= p.m) continue;
    float* target = p.c + head * p.cHead + at * p.cRow + j;
    float sum = sums[i];
    if (p.mass != nullptr) sum += p.mass[head + at * p.massRow] * p.bias[head * p.n + j];
    *target = p.accumulate ? *target + sum : sum;
  }
}

}  // namespace

Status headProducts(Context& context, const HeadProducts& p) {
  if (p.heads * p.m * p.n == 0) return Status::success();
  const dim3 grid(static_cast<unsigned>(divideUp(p.n, kTile)), static_cast<unsigned>(divideUp(p.m, kTile)),
                  static_cast<unsigned>(p.heads));
  RELIC_LAUNCH(context, headProductsKernel, grid, dim3(kThreads), p);
  return Status::success();
}

}  // namespace relic::cuda
