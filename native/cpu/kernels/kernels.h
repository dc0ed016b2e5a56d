// The single-threaded inner loops of the CPU engine, one set an instruction set.
//
// This header is all that the ISA files share with the rest: it may hold no inline function, since a function compiled
// with AVX-512 flags could be the copy that the linker keeps for the baseline code as well.
#pragma once

#include <cstddef>
#include <cstdint>

namespace relic {

// A mask's constants: ops.h Dropout, in plain words.
struct MaskKey {
  uint32_t key[2];
  uint32_t site, step;
};

// p = decay p - stepSize m / (sqrt(v) correction + eps)
struct AdamWConstants {
  float decay, stepSize, correction, oneMinusBeta1, beta2, oneMinusBeta2, eps;
};

// Rows of attention scores (rows, cols; stride) with their masks. A row has room up to a multiple of 16, which kernels
// may write. draws (rows, drawStride) is null without dropout.
struct ScoreRows {
  int64_t rows, cols, stride;
  float factor;
  const uint16_t* draws;
  int64_t drawStride;
  uint32_t threshold;
  float keepScale;
};

// The matrix product. A factor is cut into words of `wordDepth` values that follow each other along the depth: one float,
// or two bfloat16. The depth counts words and is a multiple of `depthUnit`.
struct ProductKernels {
  int tileRows, tileCols, wordDepth;
  // A tile costs what one of the next multiple of `rowUnit` rows does.
  int rowUnit, depthUnit;
  // Most rows of a, columns of b and words of the depth that are packed at once.
  int rowBlock, columnBlock, depthBlock;
  // So many words of b stay near the core as a whole: c is then computed row by row, else panel by panel.
  int residentB;
  // Multiply-adds in a nanosecond on one thread, roughly: for the choice of how to share the work.
  double speed;
  // c (rows, cols) (+)= a b + bias, rows <= tileRows, cols <= tileCols, over `depth` words. a's word (i, t) is at a[i *
  // aRow + t / depthUnit * aStep + t % depthUnit], for i up to the next multiple of rowUnit; b's word (t, j) at b[t * bStep
  // + j], read up to j = tileCols - 1; bias (cols) or null.
  void (*tile)(int rows, int cols, int64_t depth, const float* a, int64_t aRow, int64_t aStep, const float* b,
               int64_t bStep, float* c, int64_t ldc, const float* bias, bool accumulate);
  // Packs `lines` x `depth` values of the right factor into panels of `width` lines: out[panel][word][line], with zeros for
  // what is missing. Element (line, t) is at in[line * lineStride + t * depthStride], and one of the strides is 1. Writes
  // up to 64 bytes beyond.
  void (*pack)(const float* in, int64_t lineStride, int64_t depthStride, int64_t lines, int64_t depth, int width,
               float* out);
  // Likewise of the left factor: out[panel][unit of the depth][line][word].
  void (*packLeft)(const float* in, int64_t lineStride, int64_t depthStride, int64_t lines, int64_t depth, int width,
                   float* out);
  // Called by a thread before its first and after its last tile of a product; null where there is nothing to prepare.
  void (*begin)();
  void (*end)();
};

struct Kernels {
  const char* name;

  // In float32.
  ProductKernels product;

  // --- Rows --------------------------------------------------------------------------------------
  // Shapes as in ops.h, over the given rows only.
  void (*layerNormForward)(int64_t rows, int64_t cols, float eps, const float* x, const float* weight,
                           const float* bias, float* y, float* stats);
  // dweight and dbias (cols) are added to; each of dx, dweight, dbias may be null.
  void (*layerNormBackward)(int64_t rows, int64_t cols, const float* x, const float* weight, const float* stats,
                            const float* dy, float* dx, bool accumulateX, float* dweight, float* dbias);
  // sums (cols) += column sums of x (rows, cols).
  void (*columnSums)(int64_t rows, int64_t cols, const float* x, float* sums);

  // --- Elements, over `count` values -------------------------------------------------------------
  // By ops.h Activation.
  void (*activationForward[4])(int64_t count, const float* x, float* y);
  void (*activationBackward[4])(int64_t count, const float* x, const float* dy, float* dx, bool accumulate);
  void (*add)(int64_t count, const float* a, const float* b, float* y);
  // y = x + s (z - x)
  void (*blend)(int64_t count, float s, const float* x, const float* z, float* y);
  // y (+)= s x; x may be y.
  void (*scale)(int64_t count, float s, const float* x, float* y, bool accumulate);
  void (*adamw)(int64_t count, const AdamWConstants& constants, float* p, const float* g, float* m, float* v);

  // --- Dropout -----------------------------------------------------------------------------------
  // draws[(r * blocks + b) * 8 + j]: the 16-bit draw of column 8 (block + b) + j of row `row + r * rowStep`
  // (src/random/philox.ts). Room for 128 more draws is needed behind them.
  void (*draw)(const MaskKey& mask, uint32_t row, uint32_t rowStep, int64_t rows, int64_t block, int64_t blocks,
               uint16_t* draws);
  // y (+)= x where draw >= threshold, times scale, else 0; x may be y.
  void (*applyMask)(int64_t count, const uint16_t* draws, uint32_t threshold, float scale, const float* x, float* y,
                    bool accumulate);

  // --- Attention ---------------------------------------------------------------------------------
  // s becomes exp(factor s - largest), 0 where dropped, with `largest` the row's largest scaled score. sums (rows): of
  // what was not yet dropped. Row r's log-sum-exp is at logSumExp[r * logStride].
  void (*softmaxRows)(const ScoreRows& rows, float* s, float* sums, float* logSumExp, int64_t logStride);
  // With p = exp(factor s - logSumExp) and its mask M (0 or keepScale): d becomes p (M d - dot) factor, s becomes M p.
  void (*softmaxGradientRows)(const ScoreRows& rows, const float* logSumExp, int64_t logStride, const float* dots,
                              float* s, float* d);
  // out[r] = row r of a . row r of b; both (rows, width; ld)
  void (*rowDots)(int64_t rows, int64_t width, const float* a, const float* b, int64_t ld, float* out);
  // out[j] = row j of m (count, width; ld) . x (width)
  void (*dotRows)(int64_t count, int64_t width, const float* m, int64_t ld, const float* x, float* out);
  // out (width) += sum over j of weights[j] * row j of m (count, width; ld)
  void (*weightedRows)(int64_t count, int64_t width, const float* weights, const float* m, int64_t ld, float* out);
  // row j of m (count, width; ld) += weights[j] * x (width)
  void (*addOuter)(int64_t count, int64_t width, const float* weights, const float* x, float* m, int64_t ld);
};

const Kernels& genericKernels();
#if defined(__x86_64__)
const Kernels& avx2Kernels();
const Kernels& avx512Kernels();
// Of avx512, with factors rounded to bfloat16 and sums in float32.
const ProductKernels& avx512Bf16Product();
// The same on the tile registers of AMX.
const ProductKernels& amxBf16Product();
#elif defined(__aarch64__)
const Kernels& neonKernels();
#endif

}  // namespace relic
