// The arithmetic of every op on the CPU, forward and backward, over whole tensors and spread over the pool's threads.
//
// All matrices are row-major float32 without gaps between rows unless a leading dimension (`ld`, in floats) is given.
// The references are src/engine/typescript/ops/*.ts; sums may be ordered otherwise, but always in the same order for
// the same shapes and thread count. `accumulate` false overwrites a gradient, true adds to it.
#pragma once

#include <cstdint>
#include <vector>

namespace relic {

class Pool;
struct Kernels;
struct ProductKernels;

struct Context {
  Context(Pool& pool, const Kernels& kernels);
  Context(Pool& pool, const Kernels& kernels, const ProductKernels& product)
      : pool(pool), kernels(kernels), product(product) {}

  Pool& pool;
  const Kernels& kernels;
  // Of linear layers; those of `kernels` unless factors are to be rounded.
  const ProductKernels& product;
};

// Dropout of one site at one step (src/random/philox.ts): Philox4x32-7 keyed by `key`; drop when a 16-bit draw is below
// `threshold`; kept elements are scaled by `scale`. threshold 0 means no dropout.
struct Dropout {
  uint32_t key[2];
  uint32_t site;
  uint32_t step;
  uint32_t threshold;
  float scale;
};

// Dropouts in a row; those that are not there have threshold 0.
constexpr int kMaxDropouts = 2;

// Where a gradient goes: overwritten, or added to; null where none is wanted.
struct Gradient {
  float* values;
  bool accumulate;
};

// Rows as dropout masks number them, where a batch was cut down after its forward: the run of rows from[i] .. from[i + 1]
// was once original[i] ..
struct RowMap {
  std::vector<int32_t> from, original;
};

// y (rows, out) = x (rows, in) w^T + bias; w (out, in), bias (out) or null.
void linearForward(Context&, int64_t rows, int64_t out, int64_t in, const float* x, const float* w, const float* bias,
                   float* y);
// dx (rows, in) (+)= dy (rows, out) w.
void linearBackwardInput(Context&, int64_t rows, int64_t out, int64_t in, const float* dy, const float* w, float* dx,
                         bool accumulate);
// dw (out, in) (+)= dy^T x.
void linearBackwardWeight(Context&, int64_t rows, int64_t out, int64_t in, const float* dy, const float* x, float* dw,
                          bool accumulate);
// db (cols) (+)= column sums of dy (rows, cols).
void columnSums(Context&, int64_t rows, int64_t cols, const float* dy, float* db, bool accumulate);

// stats (rows, 2): mean and reciprocal deviation. Any of dx, dweight, dbias may be null; each has its accumulate flag.
void layerNormForward(Context&, int64_t rows, int64_t cols, float eps, const float* x, const float* weight,
                      const float* bias, float* y, float* stats);
void layerNormBackward(Context&, int64_t rows, int64_t cols, const float* x, const float* weight, const float* stats,
                       const float* dy, float* dx, bool accumulateX, float* dweight, bool accumulateWeight,
                       float* dbias, bool accumulateBias);

// stats (2, cols): mean and reciprocal deviation of the columns. Small (rows are pairs): one thread.
// Training: batch statistics; runningMean/runningVar move by `momentum` (unbiased variance) unless they are null.
void batchNormTrain(int64_t rows, int64_t cols, float eps, float momentum, const float* x, const float* weight,
                    const float* bias, float* y, float* stats, float* runningMean, float* runningVar);
void batchNormInfer(int64_t rows, int64_t cols, float eps, const float* x, const float* weight, const float* bias,
                    const float* runningMean, const float* runningVar, float* y);
void batchNormBackward(int64_t rows, int64_t cols, const float* x, const float* weight, const float* stats,
                       const float* dy, float* dx, bool accumulateX, float* dweight, bool accumulateWeight,
                       float* dbias, bool accumulateBias);

enum class Activation : int32_t { gelu = 0, relu = 1, silu = 2, tanh = 3 };
void activationForward(Context&, Activation, int64_t count, const float* x, float* y);
void activationBackward(Context&, Activation, int64_t count, const float* x, const float* dy, float* dx,
                        bool accumulate);

// out (rows, cols) (+)= mask * in; the same call is forward and backward. `map`, here and below, is null for the batch as it
// was given.
void dropoutApply(Context&, const Dropout&, int64_t rows, int64_t cols, const float* in, float* out, bool accumulate,
                  const RowMap* map = nullptr);

// out (rows, cols) (+)= the product of `count` masks * in.
void maskChain(Context&, const Dropout* chain, int count, int64_t rows, int64_t cols, const float* in, float* out,
               bool accumulate, const RowMap* map = nullptr);

// y = mask * f(x); dx (+)= mask * f'(x) dy. All (rows, cols).
void activationDropoutForward(Context&, Activation, const Dropout&, int64_t rows, int64_t cols, const float* x,
                              float* y);
void activationDropoutBackward(Context&, Activation, const Dropout&, int64_t rows, int64_t cols, const float* x,
                               const float* dy, float* dx, bool accumulate, const RowMap* map = nullptr);

// out = x + masks * y; out may be x or y.
void dropoutAddForward(Context&, const Dropout (&chain)[kMaxDropouts], int64_t rows, int64_t cols, const float* x,
                       const float* y, float* out);

void add(Context&, int64_t count, const float* a, const float* b, float* y);
// out (+)= in
void copyOrAdd(Context&, int64_t count, const float* in, float* out, bool accumulate);

// out = x + s (y - x); s is the draw (mask of row = sequence, col 0) of each of `sequences` runs of rows
// offsets[i] .. offsets[i+1].
void stochasticDepthForward(Context&, const Dropout&, int64_t sequences, const int32_t* offsets, int64_t cols,
                            const float* x, const float* y, float* out);
// dx (+)= (1 - s) dout, dy (+)= s dout; either may be null.
void stochasticDepthBackward(Context&, const Dropout&, int64_t sequences, const int32_t* offsets, int64_t cols,
                             const float* dout, float* dx, bool accumulateX, float* dy, bool accumulateY,
                             const RowMap* sequenceMap = nullptr);

// out = x + s (h + masks * y - x); out may be one of them.
void stochasticDepthAddForward(Context&, const Dropout& depth, const Dropout (&chain)[kMaxDropouts], int64_t sequences,
                               const int32_t* offsets, int64_t cols, const float* x, const float* h, const float* y,
                               float* out);
void stochasticDepthAddBackward(Context&, const Dropout& depth, const Dropout (&chain)[kMaxDropouts], int64_t sequences,
                                const int32_t* offsets, int64_t cols, const float* dout, const Gradient& dx,
                                const Gradient& dh, const Gradient& dy, const RowMap* map = nullptr,
                                const RowMap* sequenceMap = nullptr);

// One group of query rows and the one or two ranges of key rows that all of them see (the second may be empty).
struct Segment {
  int32_t queryFrom, queryTo;
  int32_t keyFrom, keyTo;
  int32_t key2From, key2To;
  // What dropout masks add to the number of a query row (RowMap).
  int32_t maskShift = 0;
};

// softmax(q k^T / sqrt(width / heads)) v by head. q, k, v and their gradients start at their first column; head h has
// columns h * width/heads .. Key index j of a dropout mask counts through both ranges; its row is queryRow * heads + h.
struct AttentionArgs {
  int64_t heads, width;
  const Segment* segments;
  int64_t segmentCount;
  const float* q;
  int64_t ldq;
  const float* k;
  const float* v;
  int64_t ldkv;
  Dropout dropout;
};
// out (query rows, width), logSumExp (query rows, heads).
void attentionForward(Context&, const AttentionArgs&, float* out, float* logSumExp);
// dq has leading dimension ldq, dk and dv ldkv; they are added to (the caller cleared them where this op is the first).
// dq or dk and dv may be null. Where they are not, no key row may be in two segments, nor a query row.
void attentionBackward(Context&, const AttentionArgs&, const float* out, const float* logSumExp, const float* dout,
                       float* dq, float* dk, float* dv);

// `pairToBoth` attention of q (pairs, width) over keys and values that linear layers would make of x (tokens, cols), without
// making them (AbsorbedAttentionOp in src/model/program.ts). keyWeight and valueWeight (width, cols), valueBias (width).
struct AbsorbedArgs {
  int64_t heads, width, cols;
  const Segment* segments;
  int64_t pairs;
  const float *q, *x;
  const float *keyWeight, *valueWeight, *valueBias;
  Dropout dropout;
};
// y (pairs, width), stats (pairs, 2 heads): log-sum-exp and kept mass, keyed and pooled (pairs, heads, cols).
void absorbedAttentionForward(Context&, const AbsorbedArgs&, float* y, float* stats, float* keyed, float* pooled);
// dkeyed and dpooled (pairs, heads, cols) are written on the way. The key bias has no gradient.
struct AbsorbedGradients {
  float *dkeyed, *dpooled;
  Gradient dq, dx, dkeyWeight, dvalueWeight, dvalueBias;
};
void absorbedAttentionBackward(Context&, const AbsorbedArgs&, const float* stats, const float* keyed,
                               const float* pooled, const float* dy, const AbsorbedGradients&);

// Contract 1.7: labels smoothed towards 0.5, positive term weighted. Both (pairs).
void bceForward(int64_t pairs, float posWeight, float smoothing, const float* logits, const float* labels, float* loss);
void bceBackward(int64_t pairs, float posWeight, float smoothing, const float* logits, const float* labels,
                 const float* dloss, float* dlogits, bool accumulate);

// One AdamW step in PyTorch's order; `steps` counts from 1. bias corrections are computed in double.
void adamwUpdate(Context&, int64_t count, float* p, const float* g, float* m, float* v, double lr, double beta1,
                 double beta2, double eps, double weightDecay, int64_t steps);
// One SGD step; buf (count) is the momentum buffer, which starts as the first gradient.
void sgdUpdate(Context&, int64_t count, float* p, const float* g, float* buf, double lr, double momentum,
               double weightDecay, int64_t steps);

// y *= s
void scale(Context&, int64_t count, float s, float* y);

}  // namespace relic
