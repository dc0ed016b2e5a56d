// Ops that treat every element alike.
#include "cuda/activation.h"
#include "cuda/launch.h"
#include "cuda/ops.h"
#include "cuda/tensor.h"

namespace relic::cuda {
namespace {

// Calls body(first element, elements) for each group of up to four of `count` elements.
template <typename Body>
__device__ __forceinline__ void eachFour(int64_t count, const Body& body) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x * 4;
  for (int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * 4; i < count; i += stride) {
    body(i, count - i < 4 ? static_cast<int>(count - i) : 4);
  }
}

__global__ void __launch_bounds__(kThreads) copyKernel(int64_t count, Tensor in, Tensor out, bool accumulate) {
  eachFour(count, [&](int64_t i, int n) {
    float values[4];
    load4(in, i, n, values);
    put4(out, i, n, values, accumulate);
  });
}

__global__ void __launch_bounds__(kThreads) addKernel(int64_t count, Tensor a, Tensor b, Tensor y) {
  eachFour(count, [&](int64_t i, int n) {
    float left[4], right[4];
    load4(a, i, n, left);
    load4(b, i, n, right);
#pragma unroll
    for (int k = 0; k < 4; k++) left[k] += right[k];
    store4(y, i, n, left);
  });
}

__global__ void __launch_bounds__(kThreads)
    activationKernel(Activation activation, int64_t count, Tensor x, Tensor y) {
  eachFour(count, [&](int64_t i, int n) {
    float values[4];
    load4(x, i, n, values);
#pragma unroll
    for (int k = 0; k < 4; k++) values[k] = activated(activation, values[k]);
    store4(y, i, n, values);
  });
}

__global__ void __launch_bounds__(kThreads)
    activationBackwardKernel(Activation activation, int64_t count, Tensor x, Tensor dy, Tensor dx, bool accumulate) {
  eachFour(count, [&](int64_t i, int n) {
    float values[4], gradient[4];
    load4(x, i, n, values);
    load4(dy, i, n, gradient);
#pragma unroll
    for (int k = 0; k < 4; k++) gradient[k] *= slope(activation, values[k]);
    put4(dx, i, n, gradient, accumulate);
  });
}

__global__ void __launch_bounds__(kThreads) expandKernel(int64_t rows, int64_t cols, const float* row, Tensor out) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < rows * cols; i += stride) {
    storeOne(out, i, row[i % cols]);
  }
}

}  // namespace

Status copyOrAdd(Context& context, int64_t count, const Tensor& in, const Tensor& out, bool accumulate) {
  if (count == 0 || (!accumulate && in.data == out.data)) return Status::success();
  RELIC_LAUNCH(context, copyKernel, gridFor(context, divideUp(count, 4)), dim3(kThreads), count, in, out, accumulate);
  return Status::success();
}

Status clear(Context& context, int64_t count, const Tensor& out) {
  if (count == 0) return Status::success();
  RELIC_CUDA_TRY(cudaMemsetAsync(out.data, 0, static_cast<size_t>(count) * bytesOf(out.format), context.stream()));
  return Status::success();
}

Status add(Context& context, int64_t count, const Tensor& a, const Tensor& b, const Tensor& y) {
  if (count == 0) return Status::success();
  RELIC_LAUNCH(context, addKernel, gridFor(context, divideUp(count, 4)), dim3(kThreads), count, a, b, y);
  return Status::success();
}

Status activationForward(Context& context, Activation activation, int64_t count, const Tensor& x, const Tensor& y) {
  if (count == 0) return Status::success();
  RELIC_LAUNCH(context, activationKernel, gridFor(context, divideUp(count, 4)), dim3(kThreads), activation, count, x,
               y);
  return Status::success();
}

Status activationBackward(Context& context, Activation activation, int64_t count, const Tensor& x, const Tensor& dy,
                          const Tensor& dx, bool accumulate) {
  if (count == 0) return Status::success();
  RELIC_LAUNCH(context, activationBackwardKernel, gridFor(context, divideUp(count, 4)), dim3(kThreads), activation,
               count, x, dy, dx, accumulate);
  return Status::success();
}

Status expand(Context& context, int64_t rows, int64_t cols, const float* row, const Tensor& out) {
  if (rows * cols == 0) return Status::success();
  RELIC_LAUNCH(context, expandKernel, gridFor(context, rows * cols), dim3(kThreads), rows, cols, row, out);
  return Status::success();
}

}  // namespace relic::cuda
