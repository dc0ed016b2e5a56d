// Rows of attention scores, and products with one vector for segments that have a single query.
// Score rows have room up to a multiple of kLanes; what lies there is left as zeros.

// exp(factor s - largest) in place, 0 where dropped; returns the sum before the drop. `used` lanes count beyond `whole`.
RELIC_INLINE float softmaxRow(int64_t cols, int64_t whole, VecInt used, float factor, const uint16_t* draws, VecInt limit,
                              float* s, float* largest) {
  Vec top = all(-__builtin_inff());
  for (int64_t j = 0; j < whole; j += kLanes) top = larger(load(s + j), top);
  if (whole < cols) top = larger(used ? load(s + whole) : top, top);
  const float shift = largestLane(top) * factor;
  Vec total = Vec{};
  for (int64_t j = 0; j < cols; j += kLanes) {
    Vec p = exponential(load(s + j) * all(factor) - all(shift));
    if (j == whole) p = used ? p : Vec{};
    total += p;
    if (draws) p = loadDraws(draws + j) >= limit ? p : Vec{};
    store(s + j, p);
  }
  *largest = shift;
  return sumLanes(total);
}

static void softmaxRows(const ScoreRows& rows, float* s, float* sums, float* logSumExp, int64_t logStride) {
  const int64_t whole = rows.cols - rows.cols % kLanes;
  const VecInt used = firstLanes(rows.cols - whole), limit = allInt(static_cast<int32_t>(rows.threshold));
  for (int64_t r = 0; r < rows.rows; r++) {
    const uint16_t* draws = rows.draws ? rows.draws + r * rows.drawStride : nullptr;
    float largest;
    sums[r] = softmaxRow(rows.cols, whole, used, rows.factor, draws, limit, s + r * rows.stride, &largest);
    logSumExp[r * logStride] = largest;
  }
  for (int64_t r = 0; r < rows.rows; r++) logSumExp[r * logStride] += __builtin_logf(sums[r]);
}

static void softmaxGradientRows(const ScoreRows& rows, const float* logSumExp, int64_t logStride, const float* dots,
                                float* s, float* d) {
  const int64_t cols = rows.cols, whole = cols - cols % kLanes;
  const VecInt used = firstLanes(cols - whole), limit = allInt(static_cast<int32_t>(rows.threshold));
  for (int64_t r = 0; r < rows.rows; r++, s += rows.stride, d += rows.stride) {
    const Vec shift = all(logSumExp[r * logStride]), dot = all(dots[r]);
    const uint16_t* draws = rows.draws ? rows.draws + r * rows.drawStride : nullptr;
    for (int64_t j = 0; j < cols; j += kLanes) {
      Vec p = exponential(load(s + j) * all(rows.factor) - shift);
      Vec gradient = load(d + j);
      Vec dropped = p;
      if (draws) {
        const Vec keep = loadDraws(draws + j) >= limit ? all(rows.keepScale) : Vec{};
        gradient *= keep;
        dropped *= keep;
      }
      gradient = p * (gradient - dot) * all(rows.factor);
      if (j == whole) {
        gradient = used ? gradient : Vec{};
        dropped = used ? dropped : Vec{};
      }
      store(d + j, gradient);
      store(s + j, dropped);
    }
  }
}

static void rowDots(int64_t rows, int64_t width, const float* a, const float* b, int64_t ld, float* out) {
  for (int64_t r = 0; r < rows; r++) {
    Vec sum = Vec{};
    const float *left = a + r * ld, *right = b + r * ld;
    int64_t c = 0;
    for (; c + kLanes <= width; c += kLanes) sum += load(left + c) * load(right + c);
    if (c < width) sum += loadPart(left + c, static_cast<int>(width - c)) * loadPart(right + c, static_cast<int>(width - c));
    out[r] = sumLanes(sum);
  }
}

static void dotRows(int64_t count, int64_t width, const float* m, int64_t ld, const float* x, float* out) {
  // kLanes dot products at a time: their partial sums are transposed, so that the last addition is one of vectors.
  for (int64_t j = 0; j < count; j += kLanes, m += kLanes * ld) {
    const int rows = static_cast<int>(count - j < kLanes ? count - j : kLanes);
    Vec sums[kLanes] = {};
    for (int i = 0; i < rows; i++) {
      Vec sum = Vec{};
      for (int64_t c = 0; c < width; c += kLanes) {
        const int n = static_cast<int>(width - c < kLanes ? width - c : kLanes);
        sum += get(m + i * ld + c, n) * get(x + c, n);
      }
      sums[i] = sum;
    }
    transpose(sums);
#pragma GCC unroll 4
    for (int step = kLanes / 2; step > 0; step /= 2) {
      for (int i = 0; i < step; i++) sums[i] += sums[i + step];
    }
    put(out + j, sums[0], rows);
  }
}

static void weightedRows(int64_t count, int64_t width, const float* weights, const float* m, int64_t ld, float* out) {
  for (int64_t c = 0; c < width; c += kLanes) {
    const int n = static_cast<int>(width - c < kLanes ? width - c : kLanes);
    // Four sums hide the latency of the additions.
    Vec sum[4] = {get(out + c, n), Vec{}, Vec{}, Vec{}};
    int64_t j = 0;
    for (; j + 4 <= count; j += 4) {
      for (int i = 0; i < 4; i++) sum[i] += all(weights[j + i]) * get(m + (j + i) * ld + c, n);
    }
    for (; j < count; j++) sum[0] += all(weights[j]) * get(m + j * ld + c, n);
    put(out + c, (sum[0] + sum[1]) + (sum[2] + sum[3]), n);
  }
}

static void addOuter(int64_t count, int64_t width, const float* weights, const float* x, float* m, int64_t ld) {
  for (int64_t j = 0; j < count; j++, m += ld) {
    const Vec weight = all(weights[j]);
    eachVector(width, RELIC_BODY { put(m + i, get(m + i, n) + weight * get(x + i, n), n); });
  }
}
