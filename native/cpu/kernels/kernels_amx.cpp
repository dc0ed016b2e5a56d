// Matrix products of AMX_BF16: a tile register holds 16 rows of 16 words, and one instruction multiplies two of them.
//
// The instructions are spelt in bytes, since compilers before g++ 11 and assemblers before binutils 2.36 do not know them.
#if defined(__GNUC__) && !defined(__clang__)
// GCC's own header leaves "undefined" operands of its intrinsics uninitialised on purpose and then warns of them.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "kernels.h"

namespace relic {
namespace {

#include "body/avx512.inl"

// Rows of a tile register and words of one of its rows.
constexpr int kSide = 16;
constexpr int kDepthUnit = kSide;

#include "body/words_bf16.inl"
#include "body/transpose.inl"
#include "body/pack.inl"

// --- Instructions --------------------------------------------------------------------------------
// Memory operands are at rax, their rows rcx bytes apart.

template <int Tile>
RELIC_INLINE void loadTile(const float* p, int64_t stride) {
  asm volatile(".byte 0xc4, 0xe2, 0x7b, 0x4b, 0x04 + 8 * %c2, 0x08"
               :
               : "a"(p), "c"(stride * static_cast<int64_t>(sizeof(float))), "i"(Tile)
               : "memory");
}

template <int Tile>
RELIC_INLINE void storeTile(float* p, int64_t stride) {
  asm volatile(".byte 0xc4, 0xe2, 0x7a, 0x4b, 0x04 + 8 * %c2, 0x08"
               :
               : "a"(p), "c"(stride * static_cast<int64_t>(sizeof(float))), "i"(Tile)
               : "memory");
}

template <int Tile>
RELIC_INLINE void clearTile() {
  asm volatile(".byte 0xc4, 0xe2, 0x7b, 0x49, 0xc0 + 8 * %c0" : : "i"(Tile));
}

// Sum (rows, columns) += Left (rows, words) Right (words, columns).
template <int Sum, int Left, int Right>
RELIC_INLINE void multiplyTiles() {
  asm volatile(".byte 0xc4, 0xe2, 0x7a - 8 * %c2, 0x5c, 0xc0 + 8 * %c0 + %c1" : : "i"(Sum), "i"(Left), "i"(Right));
}

// Every register gets kSide rows of 64 bytes.
void begin() {
  struct alignas(64) {
    uint8_t palette = 1, startRow = 0, reserved[14] = {};
    uint16_t rowBytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {kSide, kSide, kSide, kSide, kSide, kSide, kSide, kSide};
  } const shape;
  static_assert(sizeof(shape) == 64);
  // ldtilecfg [rax]
  asm volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0x00" : : "a"(&shape), "m"(shape));
}

// Registers without content cost nothing when the system saves a thread.
void end() {
  // tilerelease
  asm volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0xc0");
}

// --- The tile ------------------------------------------------------------------------------------

// One register's share of c: rows and columns in use, and where they are.
struct Corner {
  int rows, cols;
  float* c;
  const float* bias;
  bool isWhole() const { return rows == kSide && cols == kSide; }
};

template <int Tile>
RELIC_INLINE void start(const Corner& at, int64_t ldc, bool accumulate) {
  if (accumulate && at.isWhole()) {
    loadTile<Tile>(at.c, ldc);
  } else if (at.bias && at.isWhole()) {
    loadTile<Tile>(at.bias, 0);
  } else {
    clearTile<Tile>();
  }
}

template <int Tile>
RELIC_INLINE void finish(const Corner& at, int64_t ldc, bool accumulate) {
  if (at.isWhole()) return storeTile<Tile>(at.c, ldc);
  alignas(64) float sums[kSide * kSide];
  storeTile<Tile>(sums, kSide);
  for (int i = 0; i < at.rows; i++) {
    Vec sum = load(sums + i * kSide);
    if (accumulate) sum += loadPart(at.c + i * ldc, at.cols);
    if (at.bias) sum += loadPart(at.bias, at.cols);
    storePart(at.c + i * ldc, sum, at.cols);
  }
}

// c (rows, cols) in Rows x Cols registers.
template <int Rows, int Cols>
static void tileOf(int rows, int cols, int64_t depth, const float* a, int64_t aRow, int64_t aStep, const float* b,
                   int64_t bStep, float* c, int64_t ldc, const float* bias, bool accumulate) {
  const auto corner = [&](int i, int j) {
    return Corner{i + 1 < Rows ? kSide : rows - i * kSide, j + 1 < Cols ? kSide : cols - j * kSide,
                  c + i * kSide * ldc + j * kSide, bias ? bias + j * kSide : nullptr};
  };
  // The tile beside this one is next. Its lines of c are fetched a few at a time, since the factors come through the same
  // queue.
  const float* next = c + Cols * kSide;
  const float* const end = next + Rows * kSide * ldc;
  const int64_t lines = (Rows * kSide * kDepthUnit + depth - 1) / depth;
  start<0>(corner(0, 0), ldc, accumulate);
  if constexpr (Cols > 1) start<1>(corner(0, 1), ldc, accumulate);
  if constexpr (Rows > 1) start<2>(corner(1, 0), ldc, accumulate);
  if constexpr (Rows > 1 && Cols > 1) start<3>(corner(1, 1), ldc, accumulate);
  for (int64_t t = 0; t < depth; t += kDepthUnit, a += aStep, b += kDepthUnit * bStep) {
    for (int64_t i = 0; i < lines && next < end; i++, next += ldc) {
      for (int j = 0; j < Cols; j++) __builtin_prefetch(next + j * kSide, 1);
    }
    loadTile<4>(a, aRow);
    if constexpr (Rows > 1) loadTile<5>(a + kSide * aRow, aRow);
    loadTile<6>(b, bStep);
    if constexpr (Cols > 1) loadTile<7>(b + kSide, bStep);
    multiplyTiles<0, 4, 6>();
    if constexpr (Cols > 1) multiplyTiles<1, 4, 7>();
    if constexpr (Rows > 1) multiplyTiles<2, 5, 6>();
    if constexpr (Rows > 1 && Cols > 1) multiplyTiles<3, 5, 7>();
  }
  finish<0>(corner(0, 0), ldc, accumulate);
  if constexpr (Cols > 1) finish<1>(corner(0, 1), ldc, accumulate);
  if constexpr (Rows > 1) finish<2>(corner(1, 0), ldc, accumulate);
  if constexpr (Rows > 1 && Cols > 1) finish<3>(corner(1, 1), ldc, accumulate);
}

void tile(int rows, int cols, int64_t depth, const float* a, int64_t aRow, int64_t aStep, const float* b, int64_t bStep,
          float* c, int64_t ldc, const float* bias, bool accumulate) {
  const auto run = rows > kSide ? (cols > kSide ? tileOf<2, 2> : tileOf<2, 1>)
                                : (cols > kSide ? tileOf<1, 2> : tileOf<1, 1>);
  run(rows, cols, depth, a, aRow, aStep, b, bStep, c, ldc, bias, accumulate);
}

// Panels of whole registers: out[panel][unit][line][word], each register's rows one after another. Lines up to the next
// kSide are filled with zeros.
void packLeft(const float* in, int64_t lineStride, int64_t depthStride, int64_t lines, int64_t depth, int width,
              float* out) {
  constexpr int64_t kValues = kDepthUnit * kWordDepth;
  const int64_t words = wordsOf(depth);
  for (int64_t t = 0; t < depth; t += kValues) {
    const int values = static_cast<int>(depth - t < kValues ? depth - t : kValues);
    for (int64_t panel = 0; panel < lines; panel += width) {
      const int64_t panelLines = lines - panel < width ? lines - panel : width;
      float* to = out + panel * words + t / kWordDepth * width;
      for (int64_t line = 0; line < panelLines; line += kSide, to += kSide * kSide) {
        const int left = static_cast<int>(panelLines - line < kSide ? panelLines - line : kSide);
        const float* from = in + (panel + line) * lineStride + t * depthStride;
        if (depthStride == 1) {
          for (int i = 0; i < kSide; i++) {
            store(to + i * kSide, i < left ? wordsAlong(from + i * lineStride, values) : Vec{});
          }
          continue;
        }
        Vec block[kLanes];
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; i++) {
          const int depths = values - i * kWordDepth;
          block[i] = depths > 0 ? wordsAcross(from + i * kWordDepth * depthStride, depthStride, left,
                                              depths < kWordDepth ? depths : kWordDepth)
                                : Vec{};
        }
        transpose(block);
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; i++) store(to + i * kSide, block[i]);
      }
    }
  }
}

constexpr ProductKernels kProduct = {
    .tileRows = 2 * kSide,
    .tileCols = 2 * kSide,
    .wordDepth = kWordDepth,
    .rowUnit = kSide,
    .depthUnit = kDepthUnit,
    .rowBlock = 32,
    // CPUs with AMX have second-level caches of 2 MB: they hold a whole block of b.
    .columnBlock = 1024,
    .depthBlock = 384,
    .residentB = 1024 * 384,
    .speed = 300,
    .tile = tile,
    .pack = pack,
    .packLeft = packLeft,
    .begin = begin,
    .end = end,
};

}  // namespace

const ProductKernels& amxBf16Product() { return kProduct; }

}  // namespace relic
