// Kernels over single elements.

// Calls body(offset, n) over 0 .. count: n is the constant kLanes for whole vectors, less for the rest.
template <typename Body>
RELIC_INLINE void eachVector(int64_t count, Body body) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) body(i, kLanes);
  if (i < count) body(i, static_cast<int>(count - i));
}

#define RELIC_BODY [=](int64_t i, int n) __attribute__((always_inline))

RELIC_INLINE Vec get(const float* p, int n) { return n == kLanes ? load(p) : loadPart(p, n); }

RELIC_INLINE void put(float* p, Vec v, int n) {
  if (n == kLanes) {
    store(p, v);
  } else {
    storePart(p, v, n);
  }
}

RELIC_INLINE void putOrAdd(float* p, Vec v, int n, bool accumulate) { put(p, accumulate ? get(p, n) + v : v, n); }

// --- Activations: value and derivative -----------------------------------------------------------

struct Gelu {
  RELIC_INLINE Vec value(Vec x) { return x * normalCdf(x); }
  RELIC_INLINE Vec slope(Vec x) { return geluSlope(x); }
};

struct Relu {
  RELIC_INLINE Vec value(Vec x) { return x > Vec{} ? x : Vec{}; }
  RELIC_INLINE Vec slope(Vec x) { return x > Vec{} ? all(1.0f) : Vec{}; }
};

struct Silu {
  RELIC_INLINE Vec value(Vec x) { return x * sigmoid(x); }
  RELIC_INLINE Vec slope(Vec x) {
    const Vec s = sigmoid(x);
    return s * (all(1.0f) + x * (all(1.0f) - s));
  }
};

struct Tanh {
  RELIC_INLINE Vec value(Vec x) { return hyperbolicTangent(x); }
  RELIC_INLINE Vec slope(Vec x) {
    const Vec y = hyperbolicTangent(x);
    return all(1.0f) - y * y;
  }
};

template <typename Function>
static void activationForward(int64_t count, const float* x, float* y) {
  eachVector(count, RELIC_BODY { put(y + i, Function::value(get(x + i, n)), n); });
}

template <typename Function>
static void activationBackward(int64_t count, const float* x, const float* dy, float* dx, bool accumulate) {
  eachVector(count, RELIC_BODY { putOrAdd(dx + i, get(dy + i, n) * Function::slope(get(x + i, n)), n, accumulate); });
}

// --- Sums ----------------------------------------------------------------------------------------

static void add(int64_t count, const float* a, const float* b, float* y) {
  eachVector(count, RELIC_BODY { put(y + i, get(a + i, n) + get(b + i, n), n); });
}

static void blend(int64_t count, float s, const float* x, const float* z, float* y) {
  eachVector(count, RELIC_BODY {
    const Vec from = get(x + i, n);
    put(y + i, from + all(s) * (get(z + i, n) - from), n);
  });
}

static void scale(int64_t count, float s, const float* x, float* y, bool accumulate) {
  eachVector(count, RELIC_BODY { putOrAdd(y + i, all(s) * get(x + i, n), n, accumulate); });
}

// --- Optimiser -----------------------------------------------------------------------------------

static void adamw(int64_t count, const AdamWConstants& constants, float* p, const float* g, float* m, float* v) {
  const AdamWConstants k = constants;
  eachVector(count, RELIC_BODY {
    const Vec gradient = get(g + i, n);
    const Vec oldFirst = get(m + i, n);
    const Vec first = oldFirst + all(k.oneMinusBeta1) * (gradient - oldFirst);
    const Vec second = all(k.beta2) * get(v + i, n) + all(k.oneMinusBeta2) * gradient * gradient;
    const Vec step = all(k.stepSize) * first / (squareRoot(second) * all(k.correction) + all(k.eps));
    put(m + i, first, n);
    put(v + i, second, n);
    put(p + i, get(p + i, n) * all(k.decay) - step, n);
  });
}
