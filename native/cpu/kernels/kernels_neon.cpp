// NEON, which every 64-bit ARM has: 32 registers of 4 floats.
#include <arm_neon.h>

#include "kernels.h"

namespace relic {
namespace {

constexpr const char* kName = "neon";
constexpr int kVectorBytes = 16;
// 20 sums, four vectors of b and, since compilers load them all at once, five values of a. Two pipes of latency four need
// 8 sums, four pipes 16.
constexpr int kTileRows = 5;
constexpr int kTileVectors = 4;
constexpr int kTileCols = kTileVectors * kVectorBytes / 4;
constexpr int kPrefetchSteps = 0;
// One panel of b and a block of a share a second-level cache of 256 kB.
constexpr int kColumnBlock = 1024;
constexpr int kResidentB = 32768;

#include "body/vector.inl"

// n is less than 4.
RELIC_INLINE Vec loadPart(const float* p, int n) {
  float32x4_t v = vdupq_n_f32(0.0f);
  if (n & 1) v = vsetq_lane_f32(p[n - 1], v, 0);
  if (n & 2) v = vcombine_f32(vld1_f32(p), vget_low_f32(v));
  return (Vec)v;
}
RELIC_INLINE void storePart(float* p, Vec v, int n) {
  float32x2_t rest = vget_low_f32((float32x4_t)v);
  if (n & 2) {
    vst1_f32(p, rest);
    rest = vget_high_f32((float32x4_t)v);
  }
  if (n & 1) vst1_lane_f32(p + n - 1, rest, 0);
}
RELIC_INLINE Vec squareRoot(Vec v) { return (Vec)vsqrtq_f32((float32x4_t)v); }

// The products of the low halves of 64-bit lanes.
RELIC_INLINE VecWide multiplyLow(VecWide a, VecWide b) {
  return (VecWide)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b));
}

// Lanes of a and b in turn: from their first halves, and from their second halves.
RELIC_INLINE Vec zipLow(Vec a, Vec b) { return (Vec)vzip1q_f32((float32x4_t)a, (float32x4_t)b); }
RELIC_INLINE Vec zipHigh(Vec a, Vec b) { return (Vec)vzip2q_f32((float32x4_t)a, (float32x4_t)b); }
RELIC_INLINE VecWide zipLow(VecWide a, VecWide b) { return (VecWide)vzip1q_u64((uint64x2_t)a, (uint64x2_t)b); }
RELIC_INLINE VecWide zipHigh(VecWide a, VecWide b) { return (VecWide)vzip2q_u64((uint64x2_t)a, (uint64x2_t)b); }

#include "body/all.inl"

}  // namespace

const Kernels& neonKernels() { return kKernels; }

}  // namespace relic
