// The register tile of the matrix product, and the packing of its operands.

// c (Rows, cols) (+)= a (Rows, depth) b (depth, kTileCols) + bias, with Vectors = ceil(cols / kLanes).
template <int Rows, int Vectors>
static void tileOf(int cols, int64_t depth, const float* a, int64_t aRow, int64_t aStep, const float* b, float* c,
                   int64_t ldc, const float* bias, bool accumulate) {
  // One pointer for three rows: 14 row pointers would not fit in registers.
  constexpr int kPointers = (Rows + 2) / 3;
  const float* rows[kPointers];
#pragma GCC unroll 16
  for (int i = 0; i < kPointers; i++) rows[i] = a + 3 * i * aRow;
  Vec sums[Rows][Vectors];
#pragma GCC unroll 16
  for (int i = 0; i < Rows; i++) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; v++) sums[i][v] = Vec{};
  }
  for (int64_t t = 0; t < depth; t++) {
    Vec right[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; v++) right[v] = load(b + v * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < Rows; i++) {
      float left = rows[i / 3][(i % 3) * aRow];
#if defined(__aarch64__)
      // fmla takes a factor from one lane for nothing; loading it into all lanes would cost an arithmetic pipe a slot.
      asm("" : "+w"(left));
#endif
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; v++) sums[i][v] += all(left) * right[v];
    }
#pragma GCC unroll 16
    for (int i = 0; i < kPointers; i++) rows[i] += aStep;
    b += kTileCols;
  }
  const int last = cols - (Vectors - 1) * kLanes;
#pragma GCC unroll 16
  for (int i = 0; i < Rows; i++) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; v++) {
      float* out = c + i * ldc + v * kLanes;
      const bool whole = v + 1 < Vectors || last == kLanes;
      Vec sum = sums[i][v];
      if (accumulate) sum += whole ? load(out) : loadPart(out, last);
      if (bias) sum += whole ? load(bias + v * kLanes) : loadPart(bias + v * kLanes, last);
      if (whole) {
        store(out, sum);
      } else {
        storePart(out, sum, last);
      }
    }
  }
}

typedef void (*TileFunction)(int, int64_t, const float*, int64_t, int64_t, const float*, float*, int64_t, const float*,
                             bool);

struct TileTable {
  TileFunction by[kTileVectors][kTileRows];
};

template <int Vectors, int Rows>
static constexpr void fillTiles(TileTable& table) {
  table.by[Vectors - 1][Rows - 1] = tileOf<Rows, Vectors>;
  if constexpr (Rows > 1) {
    fillTiles<Vectors, Rows - 1>(table);
  } else if constexpr (Vectors > 1) {
    fillTiles<Vectors - 1, kTileRows>(table);
  }
}

static constexpr TileTable allTiles() {
  TileTable table{};
  fillTiles<kTileVectors, kTileRows>(table);
  return table;
}

static constexpr TileTable kTiles = allTiles();

static void tile(int rows, int cols, int64_t depth, const float* a, int64_t aRow, int64_t aStep, const float* b,
                 float* c, int64_t ldc, const float* bias, bool accumulate) {
  kTiles.by[(cols - 1) / kLanes][rows - 1](cols, depth, a, aRow, aStep, b, c, ldc, bias, accumulate);
}

// kLanes x kLanes in place. Each round doubles the runs that are in order.
RELIC_INLINE void transpose(Vec (&v)[kLanes]) {
#pragma GCC unroll 4
  for (int round = 1; round < kLanes; round *= 2) {
    Vec next[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes / 2; i++) {
      next[2 * i] = zipLow(v[i], v[i + kLanes / 2]);
      next[2 * i + 1] = zipHigh(v[i], v[i + kLanes / 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; i++) v[i] = next[i];
  }
}

// Lines lie along the depth: blocks of kLanes lines by kLanes steps are transposed. One panel of at most `width` lines.
static void packAcross(const float* in, int64_t lineStride, int lines, int64_t depth, int width, float* out) {
  for (int64_t t = 0; t < depth; t += kLanes) {
    const int64_t steps = depth - t < kLanes ? depth - t : kLanes;
    for (int from = 0; from < width; from += kLanes) {
      Vec block[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; i++) {
        const float* line = in + (from + i) * lineStride + t;
        if (from + i >= lines) {
          block[i] = Vec{};
        } else {
          block[i] = steps == kLanes ? load(line) : loadPart(line, static_cast<int>(steps));
        }
      }
      transpose(block);
      // A narrow panel's store runs into the next step, which is written after it; not so where a wide panel ends raggedly.
      const int used = width - from;
      float* to = out + t * width + from;
      for (int i = 0; i < steps; i++) {
        if (used >= kLanes || from == 0) {
          store(to + i * width, block[i]);
        } else {
          storePart(to + i * width, block[i], used);
        }
      }
    }
  }
}

// Lines lie side by side: `steps` rows of one panel are copied. Nothing from `end` on may be read.
static void packAlong(const float* in, const float* end, int64_t depthStride, int lines, int64_t steps, int width,
                      float* out) {
  if (lines == width && width % kLanes == 0) {
    for (int64_t t = 0; t < steps; t++) {
      for (int i = 0; i < width; i += kLanes) store(out + t * width + i, load(in + t * depthStride + i));
    }
    return;
  }
  if (lines == width && width < kLanes) {
    // What is read beyond the panel is written over by the next step.
    for (; steps > 1 && in + kLanes <= end; steps--, in += depthStride, out += width) store(out, load(in));
  }
  for (int64_t t = 0; t < steps; t++) {
    for (int from = 0; from < width; from += kLanes) {
      const int left = lines - from;
      const float* source = in + t * depthStride + from;
      const Vec v = left >= kLanes ? load(source) : loadPart(source, left > 0 ? left : 0);
      const int used = width - from;
      // Behind the last step may lie another panel.
      if (used >= kLanes || (from == 0 && t + 1 < steps)) {
        store(out + t * width + from, v);
      } else {
        storePart(out + t * width + from, v, used);
      }
    }
  }
}

static void pack(const float* in, int64_t lineStride, int64_t depthStride, int64_t lines, int64_t depth, int width,
                 float* out) {
  const auto linesFrom = [=](int64_t line) { return static_cast<int>(lines - line < width ? lines - line : width); };
  if (lineStride != 1) {
    for (int64_t line = 0; line < lines; line += width) {
      packAcross(in + line * lineStride, lineStride, linesFrom(line), depth, width, out + line * depth);
    }
    return;
  }
  // A few rows at a time from end to end: down a whole panel, every row would be on another page.
  constexpr int64_t kRows = 8;
  const float* end = in + (depth - 1) * depthStride + lines;
  for (int64_t t = 0; t < depth; t += kRows) {
    const int64_t steps = depth - t < kRows ? depth - t : kRows;
    for (int64_t line = 0; line < lines; line += width) {
      packAlong(in + t * depthStride + line, end, depthStride, linesFrom(line), steps, width,
                out + line * depth + t * width);
    }
  }
}
