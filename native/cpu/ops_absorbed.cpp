// Attention of one query a pair with the key and value projections absorbed: they are linear, so they can be applied to the
// few queries and pooled rows instead of every token (the CLS identity of contract 1.6's cross-attention; compare the
// absorbed projections of DeepSeek-AI, "DeepSeek-V2", 2024, section 2.1).
#include <algorithm>
#include <cmath>

#include "gemm.h"
#include "kernels/kernels.h"
#include "ops.h"
#include "pool.h"
#include "room.h"

namespace relic {
namespace {

// Tokens whose rows are packed at a time.
constexpr int64_t kTokenBlock = 128;
constexpr int64_t kDrawRoom = 128;
// What a token costs one thread, for each value of each head.
constexpr double kNanosecondsPerValue = 0.08;

struct Tokens {
  int64_t row, count;
  // Where its scores begin.
  int64_t column;
};

// One pair at a time, on one thread.
class Pair {
 public:
  Pair(const Context& context, const AbsorbedArgs& args)
      : kernels_(context.kernels),
        a_(args),
        factor_(static_cast<float>(std::sqrt(static_cast<double>(args.heads) / static_cast<double>(args.width)))) {
    for (int64_t i = 0; i < args.pairs; i++) longest_ = std::max(longest_, keysOf(args.segments[i]));
    Room room;
    const int64_t panel = kernels_.product.tileCols;
    features_ = room.take(roundUp(a_.heads, panel) * a_.cols);
    rows_ = room.take(std::max(kTokenBlock, a_.heads) * roundUp(a_.cols, panel));
    moreRows_ = room.take(a_.heads * roundUp(a_.cols, panel));
    byToken_ = room.take(longest_ * a_.heads);
    scores_ = room.take(a_.heads * stride());
    gradients_ = room.take(a_.heads * stride());
    draws_ = room.take((a_.heads * roundUp(longest_, 8) + kDrawRoom) / 2);
    sums_ = room.take(2 * a_.heads);
    size_ = room.size();
  }

  size_t scratchSize() const { return static_cast<size_t>(size_); }

  void forward(int64_t pair, float* scratch, float* stats, const float* keyed, float* pooled) const {
    const Segment& segment = a_.segments[pair];
    float *scores = scratch + scores_, *sums = scratch + sums_;
    score(segment, keyed, scratch, scores);
    kernels_.softmaxRows(scoreRows(segment, draw(segment, scratch)), scores, sums, stats, 1);
    pool(segment, scores, scratch, pooled);
    const float keepScale = a_.dropout.threshold != 0 ? a_.dropout.scale : 1.0f;
    for (int64_t h = 0; h < a_.heads; h++) {
      const float scale = keepScale / sums[h];
      kernels_.scale(a_.cols, scale, pooled + h * a_.cols, pooled + h * a_.cols, false);
      double mass = 0;
      for (int64_t j = 0; j < keysOf(segment); j++) mass += scores[h * stride() + j];
      stats[a_.heads + h] = static_cast<float>(mass) * scale;
    }
  }

  // dy (width) of the pair.
  void backward(int64_t pair, float* scratch, const float* stats, const float* keyed, const float* pooled,
                const float* dy, const float* dpooled, float* dkeyed, const Gradient& dx) const {
    const Segment& segment = a_.segments[pair];
    float *scores = scratch + scores_, *gradients = scratch + gradients_, *dots = scratch + sums_;
    const int64_t count = keysOf(segment), headWidth = a_.width / a_.heads;
    score(segment, keyed, scratch, scores);
    score(segment, dpooled, scratch, gradients);
    // The sum over keys of p M dp is the product of what was pooled, and of the mass, with their gradients.
    kernels_.rowDots(a_.heads, a_.cols, pooled, dpooled, a_.cols, dots);
    for (int64_t h = 0; h < a_.heads; h++) {
      double toMass = 0;
      for (int64_t c = h * headWidth; c < (h + 1) * headWidth; c++) toMass += dy[c] * a_.valueBias[c];
      const float d = static_cast<float>(toMass);
      for (int64_t j = 0; j < count; j++) gradients[h * stride() + j] += d;
      dots[h] += d * stats[a_.heads + h];
    }
    kernels_.softmaxGradientRows(scoreRows(segment, draw(segment, scratch)), stats, 1, dots, scores, gradients);
    if (dx.values != nullptr) {
      packRows(dpooled, a_.heads, scratch + rows_);
      packRows(keyed, a_.heads, scratch + moreRows_);
      eachRange(segment, [&](const Tokens& at) {
        float* target = dx.values + at.row * a_.cols;
        multiplyPanels(kernels_.product, at.count, a_.cols, a_.heads, scores + at.column, 1, stride(), scratch + rows_,
                       target, a_.cols, dx.accumulate);
        multiplyPanels(kernels_.product, at.count, a_.cols, a_.heads, gradients + at.column, 1, stride(),
                       scratch + moreRows_, target, a_.cols, true);
      });
    }
    pool(segment, gradients, scratch, dkeyed);
  }

 private:
  static int64_t keysOf(const Segment& s) { return s.keyTo - s.keyFrom + s.key2To - s.key2From; }
  int64_t stride() const { return roundUp(std::max<int64_t>(longest_, 1), 16); }

  template <typename Visit>
  static void eachRange(const Segment& s, const Visit& visit) {
    visit(Tokens{s.keyFrom, s.keyTo - s.keyFrom, 0});
    visit(Tokens{s.key2From, s.key2To - s.key2From, s.keyTo - s.keyFrom});
  }

  ScoreRows scoreRows(const Segment& segment, const uint16_t* draws) const {
    const int64_t count = keysOf(segment);
    const float keepScale = draws != nullptr ? a_.dropout.scale : 1.0f;
    return {a_.heads, count, stride(), factor_, draws, roundUp(count, 8), a_.dropout.threshold, keepScale};
  }

  const uint16_t* draw(const Segment& segment, float* scratch) const {
    const Dropout& d = a_.dropout;
    if (d.threshold == 0) return nullptr;
    uint16_t* draws = reinterpret_cast<uint16_t*>(scratch + draws_);
    const auto row = static_cast<uint32_t>((segment.queryFrom + segment.maskShift) * a_.heads);
    kernels_.draw({{d.key[0], d.key[1]}, d.site, d.step}, row, 1, a_.heads, 0, roundUp(keysOf(segment), 8) / 8, draws);
    return draws;
  }

  // Packs (lines, cols) as the right factor of a product that sums over its lines.
  void packRows(const float* in, int64_t lines, float* out) const {
    kernels_.product.pack(in, 1, a_.cols, a_.cols, lines, kernels_.product.tileCols, out);
  }

  // out (heads, keys; stride) = features (heads, cols) x^T.
  void score(const Segment& segment, const float* features, float* scratch, float* out) const {
    kernels_.product.pack(features, a_.cols, 1, a_.heads, a_.cols, kernels_.product.tileCols, scratch + features_);
    // Tokens stand on the left, where rows are read as they lie; then the few columns are turned into rows.
    float* byToken = scratch + byToken_;
    eachRange(segment, [&](const Tokens& at) {
      multiplyPanels(kernels_.product, at.count, a_.heads, a_.cols, a_.x + at.row * a_.cols, a_.cols, 1,
                     scratch + features_, byToken + at.column * a_.heads, a_.heads, false);
    });
    for (int64_t h = 0; h < a_.heads; h++) {
      for (int64_t j = 0; j < keysOf(segment); j++) out[h * stride() + j] = byToken[j * a_.heads + h];
    }
  }

  // out (heads, cols) = weights (heads, keys; stride) x.
  void pool(const Segment& segment, const float* weights, float* scratch, float* out) const {
    bool first = true;
    eachRange(segment, [&](const Tokens& at) {
      for (int64_t j = 0; j < at.count; j += kTokenBlock) {
        const int64_t rows = std::min(kTokenBlock, at.count - j);
        packRows(a_.x + (at.row + j) * a_.cols, rows, scratch + rows_);
        multiplyPanels(kernels_.product, a_.heads, a_.cols, rows, weights + at.column + j, stride(), 1, scratch + rows_,
                       out, a_.cols, !first);
        first = false;
      }
    });
    if (first) std::fill_n(out, a_.heads * a_.cols, 0.0f);
  }

  const Kernels& kernels_;
  const AbsorbedArgs& a_;
  const float factor_;
  int64_t longest_ = 0;
  int64_t features_, rows_, moreRows_, byToken_, scores_, gradients_, draws_, sums_, size_;
};

// Runs body(pair, scratch) for every pair.
template <typename Body>
void eachPair(Context& context, const AbsorbedArgs& args, const Pair& pair, double passes, const Body& body) {
  int64_t tokens = 0;
  for (int64_t i = 0; i < args.pairs; i++) {
    const Segment& s = args.segments[i];
    tokens += s.keyTo - s.keyFrom + s.key2To - s.key2From;
  }
  const double nanoseconds = passes * kNanosecondsPerValue * static_cast<double>(tokens * args.cols * args.heads);
  context.pool.reserve(context.pool.partsFor(nanoseconds), pair.scratchSize());
  context.pool.parallelRanges(args.pairs, 1, nanoseconds, [&](int64_t from, int64_t to, int64_t part) {
    for (int64_t i = from; i < to; i++) body(i, context.pool.scratch(part));
  });
}

// Products of one head: its slice of (pairs, width), its weights (width / heads, cols), its part of (pairs, heads, cols).
class Heads {
 public:
  Heads(Context& context, const AbsorbedArgs& args)
      : context_(context.pool, context.kernels), a_(args), width_(args.width / args.heads), ld_(args.heads * args.cols) {}

  // out (pairs, heads, cols) = rows (pairs, width) weights, head by head.
  void expand(const float* rows, const float* weights, float* out) {
    for (int64_t h = 0; h < a_.heads; h++) {
      gemm(context_, a_.pairs, a_.cols, width_, {rows + h * width_, a_.width, 1}, {weightsOf(weights, h), 1, a_.cols},
           out + h * a_.cols, ld_, nullptr, false);
    }
  }

  // out (pairs, width) (+)= features (pairs, heads, cols) weights^T.
  void contract(const float* features, const float* weights, float* out, bool accumulate) {
    for (int64_t h = 0; h < a_.heads; h++) {
      gemm(context_, a_.pairs, width_, a_.cols, {features + h * a_.cols, ld_, 1}, {weightsOf(weights, h), a_.cols, 1},
           out + h * width_, a_.width, nullptr, accumulate);
    }
  }

  // dweights (+)= rows^T features.
  void weightGradient(const float* rows, const float* features, const Gradient& dweights) {
    if (dweights.values == nullptr) return;
    for (int64_t h = 0; h < a_.heads; h++) {
      gemm(context_, width_, a_.cols, a_.pairs, {rows + h * width_, 1, a_.width}, {features + h * a_.cols, 1, ld_},
           dweights.values + h * width_ * a_.cols, a_.cols, nullptr, dweights.accumulate);
    }
  }

 private:
  const float* weightsOf(const float* weights, int64_t head) const { return weights + head * width_ * a_.cols; }

  // In float32 always: these are few rows, and all scores hang on them.
  Context context_;
  const AbsorbedArgs& a_;
  const int64_t width_, ld_;
};

}  // namespace

void absorbedAttentionForward(Context& context, const AbsorbedArgs& args, float* y, float* stats, float* keyed,
                              float* pooled) {
  Heads heads(context, args);
  heads.expand(args.q, args.keyWeight, keyed);
  const Pair pair(context, args);
  const int64_t features = args.heads * args.cols, headWidth = args.width / args.heads;
  eachPair(context, args, pair, 2, [&](int64_t i, float* scratch) {
    pair.forward(i, scratch, stats + i * 2 * args.heads, keyed + i * features, pooled + i * features);
  });
  heads.contract(pooled, args.valueWeight, y, false);
  for (int64_t i = 0; i < args.pairs; i++) {
    const float* mass = stats + (2 * i + 1) * args.heads;
    for (int64_t c = 0; c < args.width; c++) y[i * args.width + c] += mass[c / headWidth] * args.valueBias[c];
  }
}

void absorbedAttentionBackward(Context& context, const AbsorbedArgs& args, const float* stats, const float* keyed,
                               const float* pooled, const float* dy, const AbsorbedGradients& to) {
  Heads heads(context, args);
  heads.expand(dy, args.valueWeight, to.dpooled);
  heads.weightGradient(dy, pooled, to.dvalueWeight);
  const int64_t features = args.heads * args.cols, headWidth = args.width / args.heads;
  if (float* dbias = to.dvalueBias.values) {
    if (!to.dvalueBias.accumulate) std::fill_n(dbias, args.width, 0.0f);
    for (int64_t i = 0; i < args.pairs; i++) {
      const float* mass = stats + (2 * i + 1) * args.heads;
      for (int64_t c = 0; c < args.width; c++) dbias[c] += mass[c / headWidth] * dy[i * args.width + c];
    }
  }
  const Pair pair(context, args);
  eachPair(context, args, pair, 5, [&](int64_t i, float* scratch) {
    pair.backward(i, scratch, stats + i * 2 * args.heads, keyed + i * features, pooled + i * features,
                  dy + i * args.width, to.dpooled + i * features, to.dkeyed + i * features, to.dx);
  });
  if (to.dq.values != nullptr) heads.contract(to.dkeyed, args.keyWeight, to.dq.values, to.dq.accumulate);
  heads.weightGradient(args.q, to.dkeyed, to.dkeyWeight);
}

}  // namespace relic
