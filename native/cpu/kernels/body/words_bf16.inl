// A word of a packed factor is two bfloat16, by AVX512_BF16.

constexpr int kWordDepth = 2;

RELIC_INLINE Vec wordsAlong(const float* p, int values) {
  const Vec low = values >= kLanes ? load(p) : loadPart(p, values);
  const Vec high = values == 2 * kLanes ? load(p + kLanes) : values > kLanes ? loadPart(p + kLanes, values - kLanes) : Vec{};
  return (Vec)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
}

RELIC_INLINE Vec wordsAcross(const float* p, int64_t depthStride, int lines, int depths) {
  const Vec low = lines == kLanes ? load(p) : loadPart(p, lines);
  const Vec high = depths == 1 ? Vec{} : lines == kLanes ? load(p + depthStride) : loadPart(p + depthStride, lines);
  // The halves of the words, side by side: 0, 16, 1, 17, ..
  const __m512i index = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return (Vec)_mm512_permutexvar_epi16(index, (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low));
}
