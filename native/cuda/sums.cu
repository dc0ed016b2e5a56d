// Sums over rows in two stages, each in a fixed order: parts of the rows, then the parts.
#include "cuda/launch.h"
#include "cuda/ops.h"
#include "cuda/tensor.h"

namespace relic::cuda {
namespace {

// A block: 32 lanes of four columns each, times eight rows at once.
constexpr int kRows = 8;
constexpr int kColumns = 4 * kWarpSize;
// Rows that a part has at least.
constexpr int64_t kLeastRows = 64;

// partials (gridDim.y, cols): sums of the rows blockIdx.y rowsPerPart and on.
__global__ void __launch_bounds__(kThreads)
    partsKernel(int64_t rows, int64_t cols, int64_t rowsPerPart, Tensor x, float* partials) {
  __shared__ float shared[kRows][kColumns];
  const int lane = threadIdx.x % kWarpSize, line = threadIdx.x / kWarpSize;
  const int64_t col = static_cast<int64_t>(blockIdx.x) * kColumns + 4 * lane;
  const int n = cols - col < 4 ? static_cast<int>(cols - col) : 4;
  const int64_t from = blockIdx.y * rowsPerPart;
  const int64_t to = from + rowsPerPart < rows ? from + rowsPerPart : rows;
  float sums[4] = {};
  if (n > 0) {
    for (int64_t row = from + line; row < to; row += kRows) {
      float values[4];
      load4(x, row * cols + col, n, values);
#pragma unroll
      for (int k = 0; k < 4; k++) sums[k] += values[k];
    }
  }
#pragma unroll
  for (int k = 0; k < 4; k++) shared[line][4 * lane + k] = sums[k];
  __syncthreads();
  const int64_t mine = static_cast<int64_t>(blockIdx.x) * kColumns + threadIdx.x;
  if (threadIdx.x >= kColumns || mine >= cols) return;
  float total = 0;
#pragma unroll
  for (int r = 0; r < kRows; r++) total += shared[r][threadIdx.x];
  partials[blockIdx.y * cols + mine] = total;
}

// A warp's width of columns; every eighth part to each of eight threads, then those in turn.
__global__ void __launch_bounds__(kThreads)
    joinKernel(int64_t parts, int64_t cols, int64_t stride, const float* partials, float* out, bool accumulate) {
  __shared__ float shared[kRows][kWarpSize];
  const int lane = threadIdx.x % kWarpSize, line = threadIdx.x / kWarpSize;
  const int64_t col = static_cast<int64_t>(blockIdx.x) * kWarpSize + lane;
  float sum = 0;
  if (col < cols) {
#pragma unroll 4
    for (int64_t part = line; part < parts; part += kRows) sum += partials[part * stride + col];
  }
  shared[line][lane] = sum;
  __syncthreads();
  if (line > 0 || col >= cols) return;
  float total = accumulate ? out[col] : 0.0f;
#pragma unroll
  for (int r = 0; r < kRows; r++) total += shared[r][lane];
  out[col] = total;
}

}  // namespace

Status sumParts(Context& context, int64_t parts, int64_t cols, int64_t stride, const float* partials, float* out,
                bool accumulate) {
  RELIC_LAUNCH(context, joinKernel, dim3(static_cast<unsigned>(divideUp(cols, kWarpSize))), dim3(kThreads), parts, cols,
               stride, partials, out, accumulate);
  return Status::success();
}

Status columnSums(Context& context, int64_t rows, int64_t cols, const Tensor& x, float* sums, bool accumulate) {
  const int64_t across = divideUp(cols, kColumns);
  const int64_t wanted = divideUp(context.multiprocessors() * kBlocksPerMultiprocessor, across);
  const int64_t parts = std::clamp<int64_t>(divideUp(rows, kLeastRows), 1, std::max<int64_t>(wanted, 1));
  const int64_t rowsPerPart = divideUp(std::max<int64_t>(rows, 1), parts);
  void* memory = nullptr;
  RELIC_TRY(context.scratch(Scratch::partials, static_cast<size_t>(parts * cols) * sizeof(float), &memory));
  auto* partials = static_cast<float*>(memory);
  const dim3 grid(static_cast<unsigned>(across), static_cast<unsigned>(parts));
  RELIC_LAUNCH(context, partsKernel, grid, dim3(kThreads), rows, cols, rowsPerPart, x, partials);
  return sumParts(context, parts, cols, cols, partials, sums, accumulate);
}

}  // namespace relic::cuda
