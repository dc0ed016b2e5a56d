// The factors of dropout masks for kernels that treat eight columns of a row at once: one Philox counter a mask.
#pragma once

#include <cstdint>

#include "cuda/ops.h"
#include "cuda/tensor.h"
#include "relic/math.h"

#if defined(RELIC_EMULATE_CUDA) || defined(__CUDACC__)

namespace relic::cuda {

constexpr int kMaskColumns = 8;

// Columns 8 block .. 8 block + 7 of `row`: 0 or the product of the scales.
__device__ __forceinline__ void maskFactors(const DropoutChain& chain, int64_t row, int64_t block,
                                            float (&factors)[kMaskColumns]) {
#pragma unroll
  for (int k = 0; k < kMaskColumns; k++) factors[k] = 1.0f;
#pragma unroll
  for (int i = 0; i < kMaxDropouts; i++) {
    const DeviceDropout& dropout = chain.at[i];
    if (dropout.threshold == 0) continue;
    uint32_t word[4] = {static_cast<uint32_t>(row), static_cast<uint32_t>(block), dropout.site, *dropout.step};
    philox4x32(word, dropout.key[0], dropout.key[1], kMaskRounds);
#pragma unroll
    for (int k = 0; k < kMaskColumns; k++) {
      const uint32_t draw = (word[k >> 1] >> (16 * (k & 1))) & 0xffffu;
      factors[k] *= draw < dropout.threshold ? 0.0f : dropout.scale;
    }
  }
}

// Calls body(first column, elements, the four factors) for the two halves of a block of a row of `cols` columns.
template <typename Body>
__device__ __forceinline__ void eachHalf(int64_t block, int64_t cols, const float (&factors)[kMaskColumns],
                                         const Body& body) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int64_t col = block * kMaskColumns + 4 * half, left = cols - col;
    if (left > 0) body(col, left < 4 ? static_cast<int>(left) : 4, factors + 4 * half);
  }
}

}  // namespace relic::cuda

#endif
