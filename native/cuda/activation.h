// Activations and their slopes for kernels; the function is the same for every thread of a launch.
#pragma once

#include "cpu/ops.h"
#include "cuda/device.h"
#include "relic/math.h"

#if defined(RELIC_EMULATE_CUDA) || defined(__CUDACC__)

namespace relic::cuda {

__device__ __forceinline__ float activated(Activation activation, float x) {
  switch (activation) {
    case Activation::gelu:
      return gelu(x);
    case Activation::relu:
      return relu(x);
    case Activation::silu:
      return silu(x);
    default:
      return tanhf(x);
  }
}

__device__ __forceinline__ float slope(Activation activation, float x) {
  switch (activation) {
    case Activation::gelu:
      return geluSlope(x);
    case Activation::relu:
      return reluSlope(x);
    case Activation::silu:
      return siluSlope(x);
    default:
      return tanhSlope(x);
  }
}

}  // namespace relic::cuda

#endif
