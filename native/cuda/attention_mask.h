// The dropout masks of attention by 16 x 16 chunks of scores, each Philox counter computed by one lane alone.
#pragma once

#include "cuda/dropout.h"
#include "cuda/device.h"
#include "relic/math.h"

namespace relic::cuda {

// A mask's constants. The keys of the rounds are made once by the host: as a kernel's arguments they are operands that
// cost no instruction.
struct MaskKeys {
  uint32_t round[kMaskRounds][2];
  uint32_t site;
  const uint32_t* step;
  uint32_t threshold;  // in the upper half of the word; 0 without dropout
  float scale;         // of what is kept; 1 without dropout
};

inline MaskKeys maskKeys(const DeviceDropout& dropout) {
  MaskKeys keys{{}, dropout.site, dropout.step, dropout.threshold << 16, dropout.threshold ? dropout.scale : 1.0f};
  for (uint32_t i = 0; i < kMaskRounds; i++) {
    keys.round[i][0] = dropout.key[0] + i * kPhiloxWeyl0;
    keys.round[i][1] = dropout.key[1] + i * kPhiloxWeyl1;
  }
  return keys;
}

// To be read once, before the loops.
__device__ __forceinline__ uint32_t stepOf(const MaskKeys& keys) { return keys.threshold == 0 ? 0 : *keys.step; }

// Bit j: whether column 8 * block + j of the mask's row is kept. A draw is 16 bits of a word; comparing them at the
// word's upper end saves taking them out.
RELIC_HOST_DEVICE uint32_t keptColumns(const MaskKeys& keys, uint32_t step, uint32_t row, uint32_t block) {
  uint32_t word[4] = {row, block, keys.site, step};
  RELIC_UNROLL
  for (int i = 0; i < kMaskRounds; i++) philoxRound(word, keys.round[i][0], keys.round[i][1]);
  uint32_t kept = 0;
  RELIC_UNROLL
  for (int i = 0; i < 4; i++) {
    kept |= (word[i] << 16 >= keys.threshold ? 1u : 0u) << (2 * i);
    kept |= (word[i] >= keys.threshold ? 1u : 0u) << (2 * i + 1);
  }
  return kept;
}

// 0, or the scale of a kept probability: one draw, for kernels that need no other of its counter.
__device__ __forceinline__ float keepFactor(const DeviceDropout& d, uint32_t row, int key) {
  if (d.threshold == 0) return 1.0f;
  const uint32_t draw = maskDraw(d.key[0], d.key[1], d.site, *d.step, row, static_cast<uint32_t>(key));
  return draw < d.threshold ? 0.0f : d.scale;
}

// A chunk whose rows are queries: in the layout of multiplyMatrices' sum, element i of column block n (0, 1) of this
// lane is kept when bit keptBit(n, i) is set. `row` is the mask row of the chunk's first query, `heads` the distance to
// that of the next; `block` is the first of the two column blocks.
__device__ __forceinline__ uint32_t keptOfQueryRows(const MaskKeys& keys, uint32_t step, uint32_t row,
                                                    uint32_t heads, uint32_t block) {
  const uint32_t lane = threadIdx.x % kWarpSize, quad = lane / 4, place = lane % 4;
  // The four lanes of a quad need the same four counters: queries quad and quad + 8, both blocks.
  uint32_t kept = keptColumns(keys, step, row + heads * (quad + 8 * (place & 1)), block + (place >> 1)) << (8 * place);
  kept |= __shfl_xor_sync(kFullWarp, kept, 1);
  kept |= __shfl_xor_sync(kFullWarp, kept, 2);
  return kept >> (2 * place);
}
RELIC_HOST_DEVICE int keptBit(int n, int i) { return 8 * (2 * n + i / 2) + i % 2; }

// A chunk whose rows are keys: element i of column block n (queries 8 n ..) is kept when bit 8 * i of kept[n] is set.
// `block` belongs to the chunk's first key, `row` is the mask row of its first query.
__device__ __forceinline__ void keptOfKeyRows(const MaskKeys& keys, uint32_t step, uint32_t row, uint32_t heads,
                                              uint32_t block, uint32_t (&kept)[2]) {
  const uint32_t lane = threadIdx.x % kWarpSize, quad = lane / 4, place = lane % 4;
  // Quad c computes queries 2c and 2c + 1, both blocks of keys; a lane needs those of two quads.
  uint32_t own = keptColumns(keys, step, row + heads * (2 * quad + (place & 1)), block + (place >> 1)) << (8 * place);
  own |= __shfl_xor_sync(kFullWarp, own, 1);
  own |= __shfl_xor_sync(kFullWarp, own, 2);
  RELIC_UNROLL
  for (uint32_t n = 0; n < 2; n++) {
    kept[n] = __shfl_sync(kFullWarp, own, static_cast<int>(4 * (4 * n + place))) >> quad;
  }
}

}  // namespace relic::cuda
