// The register tile of the matrix product. A word of a factor is one value, or what multiplyAdd() takes one for.

// sums (Rows, Vectors * kLanes) += a b; `ahead`: b is fetched kPrefetchSteps before its use.
template <int Rows, int Vectors>
RELIC_INLINE void addProducts(int64_t depth, const float* a, int64_t aRow, int64_t aStep, const float* b, int64_t bStep,
                              bool ahead, Vec (&sums)[Rows][Vectors]) {
  // One pointer for three rows: 14 row pointers would not fit in registers.
  constexpr int kPointers = (Rows + 2) / 3;
  const float* rows[kPointers];
#pragma GCC unroll 16
  for (int i = 0; i < kPointers; i++) rows[i] = a + 3 * i * aRow;
  for (int64_t t = 0; t < depth; t++) {
    Vec right[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; v++) right[v] = load(b + v * kLanes);
    if (ahead) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; v++) __builtin_prefetch(b + kPrefetchSteps * bStep + v * kLanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < Rows; i++) {
      float left = rows[i / 3][(i % 3) * aRow];
#if defined(__aarch64__)
      // fmla takes a factor from one lane for nothing; loading it into all lanes would cost an arithmetic pipe a slot.
      asm("" : "+w"(left));
#endif
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; v++) sums[i][v] = multiplyAdd(sums[i][v], all(left), right[v]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kPointers; i++) rows[i] += aStep;
    b += bStep;
  }
}

// c (Rows, cols) (+)= a (Rows, depth) b (depth, kTileCols; bStep) + bias, with Vectors = ceil(cols / kLanes).
template <int Rows, int Vectors>
static void tileOf(int cols, int64_t depth, const float* a, int64_t aRow, int64_t aStep, const float* b, int64_t bStep,
                   float* c, int64_t ldc, const float* bias, bool accumulate) {
  if constexpr (kPrefetchSteps > 0) {
#pragma GCC unroll 16
    for (int i = 0; i < Rows; i++) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; v++) __builtin_prefetch(c + i * ldc + v * kLanes, 1);
    }
  }
  Vec sums[Rows][Vectors];
#pragma GCC unroll 16
  for (int i = 0; i < Rows; i++) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; v++) sums[i][v] = Vec{};
  }
  // The words of a packed panel follow each other, which the CPU sees by itself.
  if (kPrefetchSteps > 0 && bStep != kTileCols) {
    addProducts(depth, a, aRow, aStep, b, bStep, true, sums);
  } else {
    addProducts(depth, a, aRow, aStep, b, bStep, false, sums);
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

typedef void (*TileFunction)(int, int64_t, const float*, int64_t, int64_t, const float*, int64_t, float*, int64_t,
                             const float*, bool);

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
                 int64_t bStep, float* c, int64_t ldc, const float* bias, bool accumulate) {
  kTiles.by[(cols - 1) / kLanes][rows - 1](cols, depth, a, aRow, aStep, b, bStep, c, ldc, bias, accumulate);
}
