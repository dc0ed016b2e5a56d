// What the AVX-512 files share: 32 registers of 16 floats.

constexpr int kVectorBytes = 64;
// 28 sums, two vectors of b and two of a.
constexpr int kTileRows = 14;
constexpr int kTileVectors = 2;
constexpr int kTileCols = kTileVectors * kVectorBytes / 4;
// A second-level cache of 1 MB holds a whole block of b (590 kB) beside one of a. Rows of c are then written from end to end,
// which costs less than going down its columns does.
constexpr int kColumnBlock = 384;
constexpr int kResidentB = kColumnBlock * 384;
// How far ahead of its use b is fetched where it was not packed, in steps of the depth; c is fetched at the start.
constexpr int kPrefetchSteps = 8;

#include "vector.inl"

RELIC_INLINE __mmask16 lanes(int n) { return static_cast<__mmask16>((1u << n) - 1); }
RELIC_INLINE Vec loadPart(const float* p, int n) { return (Vec)_mm512_maskz_loadu_ps(lanes(n), p); }
RELIC_INLINE void storePart(float* p, Vec v, int n) { _mm512_mask_storeu_ps(p, lanes(n), (__m512)v); }
RELIC_INLINE Vec squareRoot(Vec v) { return (Vec)_mm512_sqrt_ps((__m512)v); }

// The products of the low halves of 64-bit lanes.
RELIC_INLINE VecWide multiplyLow(VecWide a, VecWide b) { return (VecWide)_mm512_mul_epu32((__m512i)a, (__m512i)b); }

// Lanes of a and b in turn: from their first halves, and from their second halves.
RELIC_INLINE Vec zipLow(Vec a, Vec b) {
  const __m512i index = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  return (Vec)_mm512_permutex2var_ps((__m512)a, index, (__m512)b);
}
RELIC_INLINE Vec zipHigh(Vec a, Vec b) {
  const __m512i index = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  return (Vec)_mm512_permutex2var_ps((__m512)a, index, (__m512)b);
}
RELIC_INLINE VecWide zipLow(VecWide a, VecWide b) {
  const __m512i index = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
  return (VecWide)_mm512_permutex2var_epi64((__m512i)a, index, (__m512i)b);
}
RELIC_INLINE VecWide zipHigh(VecWide a, VecWide b) {
  const __m512i index = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
  return (VecWide)_mm512_permutex2var_epi64((__m512i)a, index, (__m512i)b);
}
