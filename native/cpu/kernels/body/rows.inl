// Layer norm and column sums over rows.

static void layerNormForward(int64_t rows, int64_t cols, float eps, const float* x, const float* weight,
                             const float* bias, float* y, float* stats) {
  const int64_t whole = cols - cols % kLanes;
  const int rest = static_cast<int>(cols - whole);
  const VecInt used = firstLanes(rest);
  for (int64_t r = 0; r < rows; r++, x += cols, y += cols, stats += 2) {
    Vec sum = Vec{}, sum2 = Vec{};
    int64_t c = 0;
    for (; c + 2 * kLanes <= whole; c += 2 * kLanes) {
      sum += load(x + c);
      sum2 += load(x + c + kLanes);
    }
    if (c < whole) sum += load(x + c);
    if (rest) sum2 += loadPart(x + whole, rest);
    const float mean = sumLanes(sum + sum2) / static_cast<float>(cols);

    Vec squares = Vec{}, squares2 = Vec{};
    for (c = 0; c + 2 * kLanes <= whole; c += 2 * kLanes) {
      const Vec d = load(x + c) - all(mean), d2 = load(x + c + kLanes) - all(mean);
      squares += d * d;
      squares2 += d2 * d2;
    }
    if (c < whole) {
      const Vec d = load(x + c) - all(mean);
      squares += d * d;
    }
    if (rest) {
      const Vec d = used ? loadPart(x + whole, rest) - all(mean) : Vec{};
      squares2 += d * d;
    }
    const float variance = sumLanes(squares + squares2) / static_cast<float>(cols);
    const float scale = 1.0f / __builtin_sqrtf(variance + eps);
    stats[0] = mean;
    stats[1] = scale;

    for (c = 0; c < whole; c += kLanes) {
      store(y + c, (load(x + c) - all(mean)) * all(scale) * load(weight + c) + load(bias + c));
    }
    if (rest) {
      const Vec normed = (loadPart(x + c, rest) - all(mean)) * all(scale);
      storePart(y + c, normed * loadPart(weight + c, rest) + loadPart(bias + c, rest), rest);
    }
  }
}

// The terms of one vector of columns that layer norm's backward sums.
RELIC_INLINE void addTerms(Vec normed, Vec dy, Vec weight, Vec& sum, Vec& dot) {
  const Vec g = dy * weight;
  sum += g;
  dot += g * normed;
}

static void layerNormBackward(int64_t rows, int64_t cols, const float* x, const float* weight, const float* stats,
                              const float* dy, float* dx, bool accumulateX, float* dweight, float* dbias) {
  const int64_t whole = cols - cols % kLanes;
  const int rest = static_cast<int>(cols - whole);
  const float inverse = 1.0f / static_cast<float>(cols);
  for (int64_t r = 0; r < rows; r++, x += cols, dy += cols, stats += 2) {
    const Vec mean = all(stats[0]), scale = all(stats[1]);
    Vec sum = Vec{}, dot = Vec{};
    int64_t c = 0;
    for (; c < whole; c += kLanes) {
      const Vec normed = (load(x + c) - mean) * scale, g = load(dy + c);
      addTerms(normed, g, load(weight + c), sum, dot);
      if (dweight) store(dweight + c, load(dweight + c) + g * normed);
      if (dbias) store(dbias + c, load(dbias + c) + g);
    }
    if (rest) {
      const Vec normed = (loadPart(x + c, rest) - mean) * scale, g = loadPart(dy + c, rest);
      addTerms(normed, g, loadPart(weight + c, rest), sum, dot);
      if (dweight) storePart(dweight + c, loadPart(dweight + c, rest) + g * normed, rest);
      if (dbias) storePart(dbias + c, loadPart(dbias + c, rest) + g, rest);
    }
    if (!dx) continue;

    const Vec meanG = all(sumLanes(sum) * inverse), meanDot = all(sumLanes(dot) * inverse);
    for (c = 0; c < whole; c += kLanes) {
      const Vec normed = (load(x + c) - mean) * scale;
      const Vec d = scale * (load(dy + c) * load(weight + c) - (meanG + normed * meanDot));
      store(dx + c, accumulateX ? load(dx + c) + d : d);
    }
    if (rest) {
      const Vec normed = (loadPart(x + c, rest) - mean) * scale;
      const Vec d = scale * (loadPart(dy + c, rest) * loadPart(weight + c, rest) - (meanG + normed * meanDot));
      storePart(dx + c, accumulateX ? loadPart(dx + c, rest) + d : d, rest);
    }
    dx += cols;
  }
}

static void columnSums(int64_t rows, int64_t cols, const float* x, float* sums) {
  constexpr int kStrip = 4;
  int64_t c = 0;
  for (; c + kStrip * kLanes <= cols; c += kStrip * kLanes) {
    Vec strip[kStrip] = {};
    for (int64_t r = 0; r < rows; r++) {
      for (int i = 0; i < kStrip; i++) strip[i] += load(x + r * cols + c + i * kLanes);
    }
    for (int i = 0; i < kStrip; i++) store(sums + c + i * kLanes, load(sums + c + i * kLanes) + strip[i]);
  }
  for (; c < cols; c += kLanes) {
    const int used = static_cast<int>(cols - c < kLanes ? cols - c : kLanes);
    Vec sum = Vec{};
    for (int64_t r = 0; r < rows; r++) sum += get(x + r * cols + c, used);
    put(sums + c, get(sums + c, used) + sum, used);
  }
}
