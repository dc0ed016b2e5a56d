// Layer norm: a warp a row, whose elements stay in its registers: up to kMostChunks groups of four a lane. Wider rows,
// and rows that are no multiple of four, are read again from the cache.
#include "cuda/launch.h"
#include "cuda/ops.h"
#include "cuda/tensor.h"

namespace relic::cuda {
namespace {

constexpr int kWarps = kThreads / kWarpSize;
constexpr int kChunkCols = 4 * kWarpSize;
constexpr int kMostChunks = 8;

// --- Rows in registers ---------------------------------------------------------------------------

template <int Chunks>
struct Row {
  float at[Chunks][4];

  __device__ __forceinline__ static int64_t column(int chunk, int lane) { return chunk * kChunkCols + 4 * lane; }

  __device__ __forceinline__ void load(const Tensor& t, int64_t row, int64_t cols, int lane) {
#pragma unroll
    for (int c = 0; c < Chunks; c++) {
      const int64_t col = column(c, lane);
      if (col < cols) {
        load4(t, row * cols + col, 4, at[c]);
      } else {
#pragma unroll
        for (int k = 0; k < 4; k++) at[c][k] = 0;
      }
    }
  }

  // The sum of term(value) over the row.
  template <typename Term>
  __device__ __forceinline__ float sum(int64_t cols, int lane, const Term& term) const {
    float total = 0;
#pragma unroll
    for (int c = 0; c < Chunks; c++) {
      if (column(c, lane) >= cols) continue;
#pragma unroll
      for (int k = 0; k < 4; k++) total += term(at[c][k]);
    }
    return warpSum(total);
  }
};

template <int Chunks>
__global__ void __launch_bounds__(kThreads) forwardKernel(int64_t rows, int64_t cols, float eps, Tensor x,
                                                          const float* weight, const float* bias, Tensor y,
                                                          float* stats) {
  const int lane = threadIdx.x % kWarpSize;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kWarps;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarpSize; row < rows; row += stride) {
    Row<Chunks> values;
    values.load(x, row, cols, lane);
    const float mean = values.sum(cols, lane, [](float v) { return v; }) / static_cast<float>(cols);
    const float squares = values.sum(cols, lane, [mean](float v) { return (v - mean) * (v - mean); });
    const float scale = 1.0f / sqrtf(squares / static_cast<float>(cols) + eps);
    if (lane == 0) {
      stats[2 * row] = mean;
      stats[2 * row + 1] = scale;
    }
#pragma unroll
    for (int c = 0; c < Chunks; c++) {
      const int64_t col = Row<Chunks>::column(c, lane);
      if (col >= cols) continue;
      float w[4], b[4];
      loadFour<float>(weight, col, w);
      loadFour<float>(bias, col, b);
#pragma unroll
      for (int k = 0; k < 4; k++) b[k] += (values.at[c][k] - mean) * scale * w[k];
      store4(y, row * cols + col, 4, b);
    }
  }
}

// Adds up `mine` over the warps of the block, in their order, and writes the sums to out (cols).
template <int Chunks>
__device__ __forceinline__ void sumWarps(const float (&mine)[Chunks][4], float (*shared)[Chunks * kChunkCols],
                                         int64_t cols, float* out) {
  const int warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
  __syncthreads();
#pragma unroll
  for (int c = 0; c < Chunks; c++) {
#pragma unroll
    for (int k = 0; k < 4; k++) shared[warp][Row<Chunks>::column(c, lane) + k] = mine[c][k];
  }
  __syncthreads();
  for (int64_t col = threadIdx.x; col < cols; col += kThreads) {
    float total = 0;
    for (int w = 0; w < kWarps; w++) total += shared[w][col];
    out[col] = total;
  }
}

// partials (gridDim.x, 2, cols): the block's share of dweight and dbias.
template <int Chunks>
__global__ void __launch_bounds__(kThreads)
    backwardKernel(int64_t rows, int64_t cols, Tensor x, const float* weight, const float* stats, Tensor dy, Tensor dx,
                   bool accumulate, float* partials) {
  __shared__ float shared[kWarps][Chunks * kChunkCols];
  const int lane = threadIdx.x % kWarpSize;
  const float inverse = 1.0f / static_cast<float>(cols);
  float dweight[Chunks][4] = {}, dbias[Chunks][4] = {};
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kWarps;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarpSize; row < rows; row += stride) {
    Row<Chunks> normed, gradient;
    normed.load(x, row, cols, lane);
    gradient.load(dy, row, cols, lane);
    const float mean = stats[2 * row], scale = stats[2 * row + 1];
    float sum = 0, dot = 0;
#pragma unroll
    for (int c = 0; c < Chunks; c++) {
      const int64_t col = Row<Chunks>::column(c, lane);
      if (col >= cols) continue;
      float w[4];
      loadFour<float>(weight, col, w);
#pragma unroll
      for (int k = 0; k < 4; k++) {
        const float n = (normed.at[c][k] - mean) * scale, g = gradient.at[c][k];
        dweight[c][k] += g * n;
        dbias[c][k] += g;
        normed.at[c][k] = n;
        gradient.at[c][k] = g * w[k];
        sum += g * w[k];
        dot += g * w[k] * n;
      }
    }
    if (dx.data == nullptr) continue;
    const float meanSum = warpSum(sum) * inverse, meanDot = warpSum(dot) * inverse;
#pragma unroll
    for (int c = 0; c < Chunks; c++) {
      const int64_t col = Row<Chunks>::column(c, lane);
      if (col >= cols) continue;
      float d[4];
#pragma unroll
      for (int k = 0; k < 4; k++) d[k] = scale * (gradient.at[c][k] - (meanSum + normed.at[c][k] * meanDot));
      put4(dx, row * cols + col, 4, d, accumulate);
    }
  }
  float* out = partials + static_cast<int64_t>(blockIdx.x) * 2 * cols;
  sumWarps<Chunks>(dweight, shared, cols, out);
  sumWarps<Chunks>(dbias, shared, cols, out + cols);
}

// --- Rows of any width ---------------------------------------------------------------------------

template <typename Term>
__device__ __forceinline__ float rowSum(int64_t cols, const Term& term) {
  float total = 0;
  for (int64_t c = threadIdx.x % kWarpSize; c < cols; c += kWarpSize) total += term(c);
  return warpSum(total);
}

__global__ void __launch_bounds__(kThreads) anyForwardKernel(int64_t rows, int64_t cols, float eps, Tensor x,
                                                             const float* weight, const float* bias, Tensor y,
                                                             float* stats) {
  const int lane = threadIdx.x % kWarpSize;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kWarps;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarpSize; row < rows; row += stride) {
    const int64_t at = row * cols;
    const float mean = rowSum(cols, [&](int64_t c) { return loadOne(x, at + c); }) / static_cast<float>(cols);
    const float squares = rowSum(cols, [&](int64_t c) {
      const float d = loadOne(x, at + c) - mean;
      return d * d;
    });
    const float scale = 1.0f / sqrtf(squares / static_cast<float>(cols) + eps);
    if (lane == 0) {
      stats[2 * row] = mean;
      stats[2 * row + 1] = scale;
    }
    for (int64_t c = lane; c < cols; c += kWarpSize) {
      storeOne(y, at + c, (loadOne(x, at + c) - mean) * scale * weight[c] + bias[c]);
    }
  }
}

__global__ void __launch_bounds__(kThreads) anyInputGradientKernel(int64_t rows, int64_t cols, Tensor x,
                                                                   const float* weight, const float* stats, Tensor dy,
                                                                   Tensor dx, bool accumulate) {
  const int lane = threadIdx.x % kWarpSize;
  const float inverse = 1.0f / static_cast<float>(cols);
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kWarps;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarpSize; row < rows; row += stride) {
    const int64_t at = row * cols;
    const float mean = stats[2 * row], scale = stats[2 * row + 1];
    const auto normed = [&](int64_t c) { return (loadOne(x, at + c) - mean) * scale; };
    const auto gradient = [&](int64_t c) { return loadOne(dy, at + c) * weight[c]; };
    const float meanSum = rowSum(cols, gradient) * inverse;
    const float meanDot = rowSum(cols, [&](int64_t c) { return gradient(c) * normed(c); }) * inverse;
    for (int64_t c = lane; c < cols; c += kWarpSize) {
      const float d = scale * (gradient(c) - (meanSum + normed(c) * meanDot));
      storeOne(dx, at + c, accumulate ? loadOne(dx, at + c) + d : d);
    }
  }
}

// partials (gridDim.y, 2, cols): dweight and dbias of the rows of part blockIdx.y, a thread a column.
__global__ void __launch_bounds__(kThreads) anyWeightGradientKernel(int64_t rows, int64_t cols, Tensor x,
                                                                    const float* stats, Tensor dy, float* partials) {
  const int64_t col = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (col >= cols) return;
  float dweight = 0, dbias = 0;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    const float g = loadOne(dy, row * cols + col);
    dweight += g * (loadOne(x, row * cols + col) - stats[2 * row]) * stats[2 * row + 1];
    dbias += g;
  }
  float* out = partials + static_cast<int64_t>(blockIdx.y) * 2 * cols;
  out[col] = dweight;
  out[cols + col] = dbias;
}

// --- Calls ---------------------------------------------------------------------------------------

// The number of chunks for rows of `cols`, 0 when they do not fit registers.
int chunksFor(int64_t cols) {
  return cols % 4 == 0 && cols <= kMostChunks * kChunkCols ? static_cast<int>(divideUp(cols, kChunkCols)) : 0;
}

using ForwardKernel = void (*)(int64_t, int64_t, float, Tensor, const float*, const float*, Tensor, float*);
using BackwardKernel = void (*)(int64_t, int64_t, Tensor, const float*, const float*, Tensor, Tensor, bool, float*);

constexpr ForwardKernel kForward[] = {anyForwardKernel, forwardKernel<1>, forwardKernel<2>,
                                      forwardKernel<3>, forwardKernel<4>, forwardKernel<5>,
                                      forwardKernel<6>, forwardKernel<7>, forwardKernel<8>};
constexpr BackwardKernel kBackward[] = {nullptr,           backwardKernel<1>, backwardKernel<2>,
                                        backwardKernel<3>, backwardKernel<4>, backwardKernel<5>,
                                        backwardKernel<6>, backwardKernel<7>, backwardKernel<8>};

}  // namespace

Status layerNormForward(Context& context, int64_t rows, int64_t cols, float eps, const Tensor& x, const float* weight,
                        const float* bias, const Tensor& y, float* stats) {
  if (rows == 0) return Status::success();
  const ForwardKernel kernel = kForward[chunksFor(cols)];
  RELIC_LAUNCH(context, kernel, gridFor(context, rows * kWarpSize), dim3(kThreads), rows, cols, eps, x, weight, bias, y,
               stats);
  return Status::success();
}

Status layerNormBackward(Context& context, int64_t rows, int64_t cols, const Tensor& x, const float* weight,
                         const float* stats, const Tensor& dy, const Tensor& dx, bool accumulateX, float* dweight,
                         bool accumulateWeight, float* dbias, bool accumulateBias) {
  // Two blocks a multiprocessor: more would only make more parts to add up.
  const int64_t parts = std::clamp<int64_t>(divideUp(rows, kWarps), 1, 2 * context.multiprocessors());
  void* memory = nullptr;
  RELIC_TRY(context.scratch(Scratch::partials, static_cast<size_t>(parts * 2 * cols) * sizeof(float), &memory));
  auto* partials = static_cast<float*>(memory);
  if (const int chunks = chunksFor(cols); chunks > 0) {
    RELIC_LAUNCH(context, kBackward[chunks], dim3(static_cast<unsigned>(parts)), dim3(kThreads), rows, cols, x, weight,
                 stats, dy, dx, accumulateX, partials);
  } else {
    if (dx.data != nullptr && rows > 0) {
      RELIC_LAUNCH(context, anyInputGradientKernel, gridFor(context, rows * kWarpSize), dim3(kThreads), rows, cols, x,
                   weight, stats, dy, dx, accumulateX);
    }
    const dim3 grid(static_cast<unsigned>(divideUp(cols, kThreads)), static_cast<unsigned>(parts));
    RELIC_LAUNCH(context, anyWeightGradientKernel, grid, dim3(kThreads), rows, cols, x, stats, dy, partials);
  }
  if (dweight != nullptr) RELIC_TRY(sumParts(context, parts, cols, 2 * cols, partials, dweight, accumulateWeight));
  if (dbias != nullptr) RELIC_TRY(sumParts(context, parts, cols, 2 * cols, partials + cols, dbias, accumulateBias));
  return Status::success();
}

}  // namespace relic::cuda
