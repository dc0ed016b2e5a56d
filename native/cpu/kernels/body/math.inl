// Functions of vectors. Comparisons are written so that NaN stays NaN.

RELIC_INLINE Vec larger(Vec a, Vec b) { return a > b ? a : b; }

// The quarters of a vector, to fold them onto each other.
typedef float Four __attribute__((vector_size(16)));
constexpr int kQuads = kLanes / 4;

// The sum of all lanes, always in the same order.
RELIC_INLINE float sumLanes(Vec v) {
  Four parts[kQuads];
  __builtin_memcpy(parts, &v, sizeof(v));
#pragma GCC unroll 4
  for (int step = kQuads / 2; step > 0; step /= 2) {
    for (int i = 0; i < step; i++) parts[i] += parts[i + step];
  }
  return (parts[0][0] + parts[0][2]) + (parts[0][1] + parts[0][3]);
}

RELIC_INLINE float largestLane(Vec v) {
  Four parts[kQuads];
  __builtin_memcpy(parts, &v, sizeof(v));
#pragma GCC unroll 4
  for (int step = kQuads / 2; step > 0; step /= 2) {
    for (int i = 0; i < step; i++) parts[i] = parts[i] > parts[i + step] ? parts[i] : parts[i + step];
  }
  const float a = parts[0][0] > parts[0][2] ? parts[0][0] : parts[0][2];
  const float b = parts[0][1] > parts[0][3] ? parts[0][1] : parts[0][3];
  return a > b ? a : b;
}

// Lanes 0 .. n-1 are true.
RELIC_INLINE VecInt firstLanes(int64_t n) {
  VecInt index;
  for (int i = 0; i < kLanes; i++) index[i] = i;
  return index < allInt(static_cast<int32_t>(n));
}

// exp to about 1.5 ulp. Arguments are limited to [-87.3, 88.3], which exp keeps within the normal numbers.
RELIC_INLINE Vec exponential(Vec x) {
  x = x < all(-87.3f) ? all(-87.3f) : x;
  x = x > all(88.3f) ? all(88.3f) : x;
  // Adding 1.5 * 2^23 rounds to a whole number, which then sits in the low bits.
  const Vec shifted = x * all(1.44269504f) + all(12582912.0f);
  const Vec n = shifted - all(12582912.0f);
  // ln 2 in two parts; the first has few bits, so its product with n is exact.
  const Vec r = (x - n * all(0.693145752f)) - n * all(1.42860677e-6f);
  // Minimax of (e^r - 1 - r) / r^2 on |r| <= ln(2)/2; the relative error of e^r is 1.0e-7.
  Vec p = all(0.00831252404f);
  p = p * r + all(0.0418901213f);
  p = p * r + all(0.166671145f);
  p = p * r + all(0.499992317f);
  p = p * (r * r) + r + all(1.0f);
  return p * powerOfTwo(shifted);
}

// p[0] + p[1] t + .. + p[N-1] t^(N-1)
template <int N>
RELIC_INLINE Vec polynomial(const float (&p)[N], Vec t) {
  Vec sum = all(p[N - 1]);
#pragma GCC unroll 20
  for (int i = N - 2; i >= 0; i--) sum = sum * t + all(p[i]);
  return sum;
}

// The normal distribution function: 1/2 + x P(x^2), P a minimax polynomial (weight |x| + 0.05) on |x| <= 5.3 in the centred
// variable, which keeps the terms small. Absolute error 1.3e-7.
RELIC_INLINE Vec normalCdf(Vec x) {
  static const float p[] = {0.133392563f,     -0.0665185081f, 0.0492641709f,  -0.0395888542f,   0.0320793527f,
                            -0.0252990384f,   0.0189271283f,  -0.0131824906f, 0.00882357636f,   -0.00585532961f,
                            0.00314310485f,   -0.00109064074f, 0.000725006249f, -0.000766420382f, 0.000285995573f};
  const float limit = 5.3f;
  const Vec t = x * x * all(2.0f / (limit * limit)) - all(1.0f);
  Vec y = polynomial(p, t) * x + all(0.5f);
  y = x > all(limit) ? all(1.0f) : y;
  return x < all(-limit) ? all(0.0f) : y;
}

// The derivative of x times normalCdf(x), by its definition: a polynomial of its own would be faster and 4e-7 off, which
// shows in gradients.
RELIC_INLINE Vec geluSlope(Vec x) {
  return normalCdf(x) + x * all(0.39894228f) * exponential(x * x * all(-0.5f));
}

RELIC_INLINE Vec sigmoid(Vec x) { return all(1.0f) / (all(1.0f) + exponential(-x)); }

RELIC_INLINE Vec hyperbolicTangent(Vec x) {
  // Near 0 the exponential form cancels; there x + x^3 P(x^2), a minimax fit on |x| <= 0.625, has full precision.
  static const float p[] = {-0.333332706f, 0.133314464f, -0.053743161f, 0.0206504059f, -0.00571698657f};
  const Vec u = x * x;
  const Vec near = x * u * polynomial(p, u) + x;
  const Vec far = all(1.0f) - all(2.0f) / (exponential(x + x) + all(1.0f));
  return u < all(0.390625f) ? near : far;
}
