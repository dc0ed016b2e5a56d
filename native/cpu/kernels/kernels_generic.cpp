// The baseline of every CPU: vectors of 4 floats, in plain language extensions.
#include "kernels.h"

namespace relic {
namespace {

constexpr const char* kName = "generic";
constexpr int kVectorBytes = 16;
// 8 sums, two vectors of b, and room for the products of machines without a fused multiply-add.
constexpr int kTileRows = 4;
constexpr int kTileVectors = 2;
constexpr int kTileCols = kTileVectors * kVectorBytes / 4;
constexpr int kPrefetchSteps = 0;
// One panel of b and a block of a share a second-level cache of 256 kB.
constexpr int kColumnBlock = 1024;
constexpr int kResidentB = 32768;

#include "body/vector.inl"

RELIC_INLINE Vec loadPart(const float* p, int n) {
  Vec v = Vec{};
  for (int i = 0; i < n; i++) v[i] = p[i];
  return v;
}
RELIC_INLINE void storePart(float* p, Vec v, int n) {
  for (int i = 0; i < n; i++) p[i] = v[i];
}
RELIC_INLINE Vec squareRoot(Vec v) {
  for (int i = 0; i < kLanes; i++) v[i] = __builtin_sqrtf(v[i]);
  return v;
}

// The products of the low halves of 64-bit lanes.
RELIC_INLINE VecWide multiplyLow(VecWide a, VecWide b) { return (a & 0xffffffffu) * (b & 0xffffffffu); }

// Lanes of a and b in turn: from their first halves, and from their second halves.
RELIC_INLINE Vec zipLow(Vec a, Vec b) { return Vec{a[0], b[0], a[1], b[1]}; }
RELIC_INLINE Vec zipHigh(Vec a, Vec b) { return Vec{a[2], b[2], a[3], b[3]}; }
RELIC_INLINE VecWide zipLow(VecWide a, VecWide b) { return VecWide{a[0], b[0]}; }
RELIC_INLINE VecWide zipHigh(VecWide a, VecWide b) { return VecWide{a[1], b[1]}; }

#include "body/all.inl"

}  // namespace

const Kernels& genericKernels() { return kKernels; }

}  // namespace relic
