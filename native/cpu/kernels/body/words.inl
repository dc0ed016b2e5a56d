// A word of a packed factor is one float.

constexpr int kWordDepth = 1;
constexpr int kDepthUnit = 1;

RELIC_INLINE Vec multiplyAdd(Vec sum, Vec a, Vec b) { return sum + a * b; }

RELIC_INLINE Vec wordsAlong(const float* p, int values) { return values == kLanes ? load(p) : loadPart(p, values); }

RELIC_INLINE Vec wordsAcross(const float* p, int64_t, int lines, int) { return wordsAlong(p, lines); }
