// Dropout, and the ops that it is fused with: a thread a mask block of eight columns.
#include "cuda/activation.h"
#include "cuda/launch.h"
#include "cuda/mask.h"
#include "cuda/ops.h"
#include "cuda/tensor.h"

namespace relic::cuda {
namespace {

// Calls body(first element, elements, the four factors) for all elements of (rows, cols).
template <typename Body>
__device__ __forceinline__ void eachMasked(const DropoutChain& chain, int64_t rows, int64_t cols, const Body& body) {
  const int64_t perRow = (cols + kMaskColumns - 1) / kMaskColumns;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < rows * perRow; i += stride) {
    const int64_t row = i / perRow, block = i - row * perRow;
    float factors[kMaskColumns];
    maskFactors(chain, row, block, factors);
    eachHalf(block, cols, factors,
             [&](int64_t col, int n, const float* four) { body(row * cols + col, n, four); });
  }
}

__global__ void __launch_bounds__(kThreads)
    dropoutKernel(DropoutChain chain, int64_t rows, int64_t cols, Tensor in, Tensor out, bool accumulate) {
  eachMasked(chain, rows, cols, [&](int64_t at, int n, const float* factors) {
    float values[4];
    load4(in, at, n, values);
#pragma unroll
    for (int k = 0; k < 4; k++) values[k] *= factors[k];
    put4(out, at, n, values, accumulate);
  });
}

__global__ void __launch_bounds__(kThreads)
    dropoutAddKernel(DropoutChain chain, int64_t rows, int64_t cols, Tensor x, Tensor y, Tensor out) {
  eachMasked(chain, rows, cols, [&](int64_t at, int n, const float* factors) {
    float sum[4], branch[4];
    load4(x, at, n, sum);
    load4(y, at, n, branch);
#pragma unroll
    for (int k = 0; k < 4; k++) sum[k] += branch[k] * factors[k];
    store4(out, at, n, sum);
  });
}

__global__ void __launch_bounds__(kThreads) activationDropoutKernel(Activation activation, DropoutChain chain,
                                                                    int64_t rows, int64_t cols, Tensor x, Tensor y) {
  eachMasked(chain, rows, cols, [&](int64_t at, int n, const float* factors) {
    float values[4];
    load4(x, at, n, values);
#pragma unroll
    for (int k = 0; k < 4; k++) values[k] = activated(activation, values[k]) * factors[k];
    store4(y, at, n, values);
  });
}

__global__ void __launch_bounds__(kThreads)
    activationDropoutBackwardKernel(Activation activation, DropoutChain chain, int64_t rows, int64_t cols, Tensor x,
                                    Tensor dy, Tensor dx, bool accumulate) {
  eachMasked(chain, rows, cols, [&](int64_t at, int n, const float* factors) {
    float values[4], gradient[4];
    load4(x, at, n, values);
    load4(dy, at, n, gradient);
#pragma unroll
    for (int k = 0; k < 4; k++) gradient[k] *= slope(activation, values[k]) * factors[k];
    put4(dx, at, n, gradient, accumulate);
  });
}

dim3 maskGrid(const Context& context, int64_t rows, int64_t cols) {
  return gridFor(context, rows * divideUp(cols, kMaskColumns));
}

}  // namespace

Status dropoutApply(Context& context, const DropoutChain& chain, int64_t rows, int64_t cols, const Tensor& in,
                    const Tensor& out, bool accumulate) {
  if (chain.at[0].threshold == 0 && chain.at[1].threshold == 0) {
    return copyOrAdd(context, rows * cols, in, out, accumulate);
  }
  if (rows * cols == 0) return Status::success();
  RELIC_LAUNCH(context, dropoutKernel, maskGrid(context, rows, cols), dim3(kThreads), chain, rows, cols, in, out,
               accumulate);
  return Status::success();
}

Status dropoutAddForward(Context& context, const DropoutChain& chain, int64_t rows, int64_t cols, const Tensor& x,
                         const Tensor& y, const Tensor& out) {
  if (rows * cols == 0) return Status::success();
  RELIC_LAUNCH(context, dropoutAddKernel, maskGrid(context, rows, cols), dim3(kThreads), chain, rows, cols, x, y, out);
  return Status::success();
}

Status activationDropoutForward(Context& context, Activation activation, const DropoutChain& chain, int64_t rows,
                                int64_t cols, const Tensor& x, const Tensor& y) {
  if (rows * cols == 0) return Status::success();
  RELIC_LAUNCH(context, activationDropoutKernel, maskGrid(context, rows, cols), dim3(kThreads), activation, chain, rows,
               cols, x, y);
  return Status::success();
}

Status activationDropoutBackward(Context& context, Activation activation, const DropoutChain& chain, int64_t rows,
                                 int64_t cols, const Tensor& x, const Tensor& dy, const Tensor& dx, bool accumulate) {
  if (rows * cols == 0) return Status::success();
  RELIC_LAUNCH(context, activationDropoutBackwardKernel, maskGrid(context, rows, cols), dim3(kThreads), activation,
               chain, rows, cols, x, dy, dx, accumulate);
  return Status::success();
}

}  // namespace relic::cuda
