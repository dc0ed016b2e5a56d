// Ops that treat the rows of a sequence alike: blockIdx.y is the sequence.
#include "cuda/launch.h"
#include "cuda/mask.h"
#include "cuda/ops.h"
#include "cuda/tensor.h"
#include "relic/math.h"

namespace relic::cuda {
namespace {

// The grid's second dimension holds at most this many blocks; more sequences take turns.
constexpr int64_t kMostSequences = 65535;

// Calls body(sequence, first element of it, offset within it, elements) for each group of up to four.
template <typename Body>
__device__ __forceinline__ void eachSequence(const Sequences& sequences, int64_t cols, const Body& body) {
  for (int64_t sequence = blockIdx.y; sequence < sequences.count; sequence += gridDim.y) {
    const int64_t from = sequences.offsets[sequence] * cols;
    const int64_t count = sequences.offsets[sequence + 1] * cols - from;
    const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x * 4;
    for (int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * 4; i < count; i += stride) {
      body(sequence, from, i, count - i < 4 ? static_cast<int>(count - i) : 4);
    }
  }
}

__global__ void __launch_bounds__(kThreads)
    gatherKernel(Sequences sequences, int64_t cols, const void* const* sources, Format format, Tensor out) {
  eachSequence(sequences, cols, [&](int64_t sequence, int64_t from, int64_t i, int n) {
    const Tensor in{const_cast<void*>(sources[sequence]), format};
    float values[4];
    load4(in, i, n, values);
    store4(out, from + i, n, values);
  });
}

// 0 or the scale: one draw decides for the whole sequence.
__device__ __forceinline__ float sequenceDraw(const DeviceDropout& d, int64_t sequence) {
  if (d.threshold == 0) return 1.0f;
  const uint32_t draw = maskDraw(d.key[0], d.key[1], d.site, *d.step, static_cast<uint32_t>(sequence), 0);
  return draw < d.threshold ? 0.0f : d.scale;
}

__global__ void __launch_bounds__(kThreads)
    depthKernel(DeviceDropout dropout, Sequences sequences, int64_t cols, Tensor x, Tensor y, Tensor out) {
  eachSequence(sequences, cols, [&](int64_t sequence, int64_t from, int64_t i, int n) {
    const float s = sequenceDraw(dropout, sequence);
    float kept[4], changed[4];
    load4(x, from + i, n, kept);
    load4(y, from + i, n, changed);
#pragma unroll
    for (int k = 0; k < 4; k++) kept[k] += s * (changed[k] - kept[k]);
    store4(out, from + i, n, kept);
  });
}

__global__ void __launch_bounds__(kThreads)
    depthBackwardKernel(DeviceDropout dropout, Sequences sequences, int64_t cols, Tensor dout, Tensor dx,
                        bool accumulateX, Tensor dy, bool accumulateY) {
  eachSequence(sequences, cols, [&](int64_t sequence, int64_t from, int64_t i, int n) {
    const float s = sequenceDraw(dropout, sequence);
    float gradient[4], part[4];
    load4(dout, from + i, n, gradient);
    if (dx.data != nullptr) {
#pragma unroll
      for (int k = 0; k < 4; k++) part[k] = (1.0f - s) * gradient[k];
      put4(dx, from + i, n, part, accumulateX);
    }
    if (dy.data != nullptr) {
#pragma unroll
      for (int k = 0; k < 4; k++) part[k] = s * gradient[k];
      put4(dy, from + i, n, part, accumulateY);
    }
  });
}

// Calls body(sequence, first element of all rows, elements, the four factors) for every mask block of every sequence.
template <typename Body>
__device__ __forceinline__ void eachMasked(const DropoutChain& chain, const Sequences& sequences, int64_t cols,
                                           const Body& body) {
  const int64_t perRow = (cols + kMaskColumns - 1) / kMaskColumns;
  for (int64_t sequence = blockIdx.y; sequence < sequences.count; sequence += gridDim.y) {
    const int64_t from = sequences.offsets[sequence];
    const int64_t count = (sequences.offsets[sequence + 1] - from) * perRow;
    const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) {
      const int64_t line = i / perRow, block = i - line * perRow, row = from + line;
      float factors[kMaskColumns];
      maskFactors(chain, row, block, factors);
      eachHalf(block, cols, factors,
               [&](int64_t col, int n, const float* four) { body(sequence, row * cols + col, n, four); });
    }
  }
}

__global__ void __launch_bounds__(kThreads) depthAddKernel(DeviceDropout depth, DropoutChain chain, Sequences sequences,
                                                           int64_t cols, Tensor x, Tensor h, Tensor y, Tensor out) {
  eachMasked(chain, sequences, cols, [&](int64_t sequence, int64_t at, int n, const float* factors) {
    const float s = sequenceDraw(depth, sequence);
    float kept[4], sum[4], branch[4];
    load4(x, at, n, kept);
    load4(h, at, n, sum);
    load4(y, at, n, branch);
#pragma unroll
    for (int k = 0; k < 4; k++) kept[k] += s * (sum[k] + branch[k] * factors[k] - kept[k]);
    store4(out, at, n, kept);
  });
}

__global__ void __launch_bounds__(kThreads) depthAddBackwardKernel(DeviceDropout depth, DropoutChain chain,
                                                                   Sequences sequences, int64_t cols, Tensor dout,
                                                                   DepthGradients gradients) {
  eachMasked(chain, sequences, cols, [&](int64_t sequence, int64_t at, int n, const float* factors) {
    const float s = sequenceDraw(depth, sequence);
    float gradient[4], part[4];
    load4(dout, at, n, gradient);
    if (gradients.dx.data != nullptr) {
#pragma unroll
      for (int k = 0; k < 4; k++) part[k] = (1.0f - s) * gradient[k];
      put4(gradients.dx, at, n, part, gradients.accumulateX);
    }
    if (gradients.dh.data != nullptr) {
#pragma unroll
      for (int k = 0; k < 4; k++) part[k] = s * gradient[k];
      put4(gradients.dh, at, n, part, gradients.accumulateH);
    }
    if (gradients.dy.data != nullptr) {
#pragma unroll
      for (int k = 0; k < 4; k++) part[k] = s * gradient[k] * factors[k];
      put4(gradients.dy, at, n, part, gradients.accumulateY);
    }
  });
}

dim3 gridOf(const Sequences& sequences, int64_t cols) {
  const int64_t blocks = divideUp(sequences.longest * cols, kThreads * 4);
  return dim3(static_cast<unsigned>(std::clamp<int64_t>(blocks, 1, 1024)),
              static_cast<unsigned>(std::min(sequences.count, kMostSequences)));
}

bool isEmpty(const Sequences& sequences, int64_t cols) { return sequences.count * sequences.longest * cols == 0; }

}  // namespace

Status gather(Context& context, const Sequences& sequences, int64_t cols, const void* const* sources, Format format,
              const Tensor& out) {
  if (isEmpty(sequences, cols)) return Status::success();
  RELIC_LAUNCH(context, gatherKernel, gridOf(sequences, cols), dim3(kThreads), sequences, cols, sources, format, out);
  return Status::success();
}

Status stochasticDepthForward(Context& context, const DeviceDropout& dropout, const Sequences& sequences, int64_t cols,
                              const Tensor& x, const Tensor& y, const Tensor& out) {
  if (isEmpty(sequences, cols)) return Status::success();
  RELIC_LAUNCH(context, depthKernel, gridOf(sequences, cols), dim3(kThreads), dropout, sequences, cols, x, y, out);
  return Status::success();
}

Status stochasticDepthBackward(Context& context, const DeviceDropout& dropout, const Sequences& sequences, int64_t cols,
                               const Tensor& dout, const Tensor& dx, bool accumulateX, const Tensor& dy,
                               bool accumulateY) {
  if (isEmpty(sequences, cols)) return Status::success();
  RELIC_LAUNCH(context, depthBackwardKernel, gridOf(sequences, cols), dim3(kThreads), dropout, sequences, cols, dout,
               dx, accumulateX, dy, accumulateY);
  return Status::success();
}

Status stochasticDepthAddForward(Context& context, const DeviceDropout& depth, const DropoutChain& chain,
                                 const Sequences& sequences, int64_t cols, const Tensor& x, const Tensor& h,
                                 const Tensor& y, const Tensor& out) {
  if (isEmpty(sequences, cols)) return Status::success();
  RELIC_LAUNCH(context, depthAddKernel, gridOf(sequences, cols), dim3(kThreads), depth, chain, sequences, cols, x, h, y,
               out);
  return Status::success();
}

Status stochasticDepthAddBackward(Context& context, const DeviceDropout& depth, const DropoutChain& chain,
                                  const Sequences& sequences, int64_t cols, const Tensor& dout,
                                  const DepthGradients& gradients) {
  if (isEmpty(sequences, cols)) return Status::success();
  RELIC_LAUNCH(context, depthAddBackwardKernel, gridOf(sequences, cols), dim3(kThreads), depth, chain, sequences, cols,
               dout, gradients);
  return Status::success();
}

}  // namespace relic::cuda
