// AVX2 and FMA: 16 registers of 8 floats.
#include <immintrin.h>

#include "kernels.h"

namespace relic {
namespace {

constexpr const char* kName = "avx2";
constexpr int kVectorBytes = 32;
// 12 sums, two vectors of b and one of a.
constexpr int kTileRows = 6;
constexpr int kTileVectors = 2;
constexpr int kTileCols = kTileVectors * kVectorBytes / 4;
constexpr int kPrefetchSteps = 0;
// One panel of b and a block of a share a second-level cache of 256 kB.
constexpr int kColumnBlock = 1024;
constexpr int kResidentB = 32768;

#include "body/vector.inl"

RELIC_INLINE __m256i lanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
RELIC_INLINE Vec loadPart(const float* p, int n) { return (Vec)_mm256_maskload_ps(p, lanes(n)); }
RELIC_INLINE void storePart(float* p, Vec v, int n) { _mm256_maskstore_ps(p, lanes(n), (__m256)v); }
RELIC_INLINE Vec squareRoot(Vec v) { return (Vec)_mm256_sqrt_ps((__m256)v); }

// The products of the low halves of 64-bit lanes.
RELIC_INLINE VecWide multiplyLow(VecWide a, VecWide b) { return (VecWide)_mm256_mul_epu32((__m256i)a, (__m256i)b); }

// Lanes of a and b in turn: from their first halves, and from their second halves.
RELIC_INLINE Vec zipLow(Vec a, Vec b) {
  const __m256 low = _mm256_unpacklo_ps((__m256)a, (__m256)b), high = _mm256_unpackhi_ps((__m256)a, (__m256)b);
  return (Vec)_mm256_permute2f128_ps(low, high, 0x20);
}
RELIC_INLINE Vec zipHigh(Vec a, Vec b) {
  const __m256 low = _mm256_unpacklo_ps((__m256)a, (__m256)b), high = _mm256_unpackhi_ps((__m256)a, (__m256)b);
  return (Vec)_mm256_permute2f128_ps(low, high, 0x31);
}
RELIC_INLINE VecWide zipLow(VecWide a, VecWide b) {
  const __m256i low = _mm256_unpacklo_epi64((__m256i)a, (__m256i)b);
  return (VecWide)_mm256_permute2x128_si256(low, _mm256_unpackhi_epi64((__m256i)a, (__m256i)b), 0x20);
}
RELIC_INLINE VecWide zipHigh(VecWide a, VecWide b) {
  const __m256i low = _mm256_unpacklo_epi64((__m256i)a, (__m256i)b);
  return (VecWide)_mm256_permute2x128_si256(low, _mm256_unpackhi_epi64((__m256i)a, (__m256i)b), 0x31);
}

#include "body/all.inl"

}  // namespace

const Kernels& avx2Kernels() { return kKernels; }

}  // namespace relic
