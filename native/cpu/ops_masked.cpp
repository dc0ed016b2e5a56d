// Dropout and stochastic depth, alone and together with what stands before or behind them. A piece of a few thousand
// elements goes through all steps of an op while it is in the innermost cache.
#include <algorithm>

#include "kernels/kernels.h"
#include "ops.h"
#include "pool.h"
#include "relic/math.h"

namespace relic {
namespace {

// Nanoseconds an element costs one thread, to decide how many threads an op is worth.
constexpr double kMask = 0.5;
constexpr double kActivation = 0.6;
constexpr double kCopy = 0.15;
// Draws made at a time, in blocks of 8: they stay in the innermost cache.
constexpr int64_t kDrawBlocks = 256;
constexpr int64_t kPiece = kDrawBlocks * 8;
constexpr int64_t kDrawRoom = kPiece + 128;

double cost(double nanoseconds, int64_t count) { return nanoseconds * static_cast<double>(count); }

// The masks of up to kMaxDropouts dropouts in a row, piece by piece.
class Masks {
 public:
  Masks(const Kernels& kernels, const Dropout* chain, int count, const RowMap* map = nullptr)
      : kernels_(kernels), map_(map) {
    for (int i = 0; i < count; i++) {
      if (chain[i].threshold != 0) active_[used_++] = chain + i;
    }
  }

  // Cuts rows [from, to) of `cols` columns into pieces and calls visit(at, count) with the elements of each, for which
  // apply() then has the masks.
  template <typename Visit>
  void each(int64_t from, int64_t to, int64_t cols, const Visit& visit) {
    if (used_ == 0) {
      for (int64_t at = from * cols; at < to * cols; at += kPiece) visit(at, std::min(kPiece, to * cols - at));
      return;
    }
    if (map_ == nullptr) return eachOfRun(from, to, 0, cols, visit);
    const std::vector<int32_t>& starts = map_->from;
    size_t run = static_cast<size_t>(std::upper_bound(starts.begin(), starts.end(), from) - starts.begin()) - 1;
    for (int64_t row = from; row < to; run++) {
      const int64_t end = std::min<int64_t>(to, starts[run + 1]);
      eachOfRun(row, end, map_->original[run] - starts[run], cols, visit);
      row = end;
    }
  }

  // out (+)= masks in, over the piece that is visited; out may be in.
  void apply(int64_t count, const float* in, float* out, bool accumulate) {
    if (used_ == 0) {
      if (accumulate) {
        kernels_.add(count, in, out, out);
      } else if (in != out) {
        std::copy(in, in + count, out);
      }
      return;
    }
    for (int i = 0; i < used_; i++) {
      const bool last = i + 1 == used_;
      kernels_.applyMask(count, draws_[i], active_[i]->threshold, active_[i]->scale, i == 0 ? in : between_,
                         last ? out : between_, last && accumulate);
    }
  }

 private:
  // `shift` is added to a row's number when its mask is drawn.
  template <typename Visit>
  void eachOfRun(int64_t from, int64_t to, int64_t shift, int64_t cols, const Visit& visit) {
    const int64_t blocks = (cols + 7) / 8;
    if (blocks > kDrawBlocks || cols % 8 != 0) {
      // Long rows go by pieces of one row; ragged ones leave a gap in the draws after each row.
      for (int64_t row = from; row < to; row++) {
        for (int64_t block = 0; block < blocks; block += kDrawBlocks) {
          const int64_t count = std::min(kDrawBlocks, blocks - block);
          draw(row + shift, 1, block, count);
          visit(row * cols + block * 8, std::min(count * 8, cols - block * 8));
        }
      }
      return;
    }
    const int64_t rowsAtOnce = kDrawBlocks / blocks;
    for (int64_t row = from; row < to; row += rowsAtOnce) {
      const int64_t rows = std::min(rowsAtOnce, to - row);
      draw(row + shift, rows, 0, blocks);
      visit(row * cols, rows * cols);
    }
  }

  void draw(int64_t row, int64_t rows, int64_t block, int64_t blocks) {
    for (int i = 0; i < used_; i++) {
      const Dropout& d = *active_[i];
      kernels_.draw({{d.key[0], d.key[1]}, d.site, d.step}, static_cast<uint32_t>(row), 1, rows, block, blocks, draws_[i]);
    }
  }

  const Kernels& kernels_;
  const RowMap* map_;
  const Dropout* active_[kMaxDropouts];
  int used_ = 0;
  uint16_t draws_[kMaxDropouts][kDrawRoom];
  float between_[kPiece];
};

// Stochastic depth's draw: 0 or scale.
float sequenceDraw(const Dropout& d, int64_t sequence) {
  if (d.threshold == 0) return 1.0f;
  const uint32_t draw = maskDraw(d.key[0], d.key[1], d.site, d.step, static_cast<uint32_t>(sequence), 0);
  return draw < d.threshold ? 0.0f : d.scale;
}

// Calls visit(from, to, draw) with the rows of each sequence.
template <typename Visit>
void eachSequence(Context& context, const Dropout& depth, int64_t sequences, const int32_t* offsets, double nanoseconds,
                  const RowMap* sequenceMap, const Visit& visit) {
  context.pool.parallelRanges(sequences, 1, nanoseconds, [&](int64_t first, int64_t last, int64_t) {
    for (int64_t i = first; i < last; i++) {
      const int64_t original = sequenceMap == nullptr ? i : sequenceMap->original[static_cast<size_t>(i)];
      visit(offsets[i], offsets[i + 1], sequenceDraw(depth, original));
    }
  });
}

int64_t elements(int64_t sequences, const int32_t* offsets, int64_t cols) {
  return sequences > 0 ? (offsets[sequences] - offsets[0]) * cols : 0;
}

}  // namespace

void dropoutApply(Context& context, const Dropout& dropout, int64_t rows, int64_t cols, const float* in, float* out,
                  bool accumulate, const RowMap* map) {
  if (cols <= 0) return;
  if (dropout.threshold == 0) return copyOrAdd(context, rows * cols, in, out, accumulate);
  maskChain(context, &dropout, 1, rows, cols, in, out, accumulate, map);
}

void maskChain(Context& context, const Dropout* chain, int count, int64_t rows, int64_t cols, const float* in,
               float* out, bool accumulate, const RowMap* map) {
  context.pool.parallelRanges(rows, 1, cost(kMask, rows * cols), [&](int64_t from, int64_t to, int64_t) {
    Masks masks(context.kernels, chain, count, map);
    masks.each(from, to, cols, [&](int64_t at, int64_t n) { masks.apply(n, in + at, out + at, accumulate); });
  });
}

void activationDropoutForward(Context& context, Activation activation, const Dropout& dropout, int64_t rows,
                              int64_t cols, const float* x, float* y) {
  const auto kernel = context.kernels.activationForward[static_cast<int>(activation)];
  context.pool.parallelRanges(rows, 1, cost(kActivation + kMask, rows * cols), [&](int64_t from, int64_t to, int64_t) {
    Masks masks(context.kernels, &dropout, 1);
    masks.each(from, to, cols, [&](int64_t at, int64_t n) {
      kernel(n, x + at, y + at);
      masks.apply(n, y + at, y + at, false);
    });
  });
}

void activationDropoutBackward(Context& context, Activation activation, const Dropout& dropout, int64_t rows,
                               int64_t cols, const float* x, const float* dy, float* dx, bool accumulate,
                               const RowMap* map) {
  const auto kernel = context.kernels.activationBackward[static_cast<int>(activation)];
  context.pool.parallelRanges(rows, 1, cost(kActivation + kMask, rows * cols), [&](int64_t from, int64_t to, int64_t) {
    Masks masks(context.kernels, &dropout, 1, map);
    float masked[kPiece];
    masks.each(from, to, cols, [&](int64_t at, int64_t n) {
      masks.apply(n, dy + at, masked, false);
      kernel(n, x + at, masked, dx + at, accumulate);
    });
  });
}

void dropoutAddForward(Context& context, const Dropout (&chain)[kMaxDropouts], int64_t rows, int64_t cols,
                       const float* x, const float* y, float* out) {
  context.pool.parallelRanges(rows, 1, cost(kMask + kCopy, rows * cols), [&](int64_t from, int64_t to, int64_t) {
    Masks masks(context.kernels, chain, kMaxDropouts);
    float masked[kPiece];
    masks.each(from, to, cols, [&](int64_t at, int64_t n) {
      masks.apply(n, y + at, masked, false);
      context.kernels.add(n, x + at, masked, out + at);
    });
  });
}

void stochasticDepthForward(Context& context, const Dropout& depth, int64_t sequences, const int32_t* offsets,
                            int64_t cols, const float* x, const float* y, float* out) {
  const double nanoseconds = cost(kCopy, elements(sequences, offsets, cols));
  eachSequence(context, depth, sequences, offsets, nanoseconds, nullptr, [&](int64_t from, int64_t to, float s) {
    const int64_t at = from * cols;
    context.kernels.blend((to - from) * cols, s, x + at, y + at, out + at);
  });
}

void stochasticDepthBackward(Context& context, const Dropout& depth, int64_t sequences, const int32_t* offsets,
                             int64_t cols, const float* dout, float* dx, bool accumulateX, float* dy,
                             bool accumulateY, const RowMap* sequenceMap) {
  const double nanoseconds = cost(kCopy, elements(sequences, offsets, cols));
  eachSequence(context, depth, sequences, offsets, nanoseconds, sequenceMap, [&](int64_t from, int64_t to, float s) {
    const int64_t at = from * cols, n = (to - from) * cols;
    if (dx) context.kernels.scale(n, 1.0f - s, dout + at, dx + at, accumulateX);
    if (dy) context.kernels.scale(n, s, dout + at, dy + at, accumulateY);
  });
}

void stochasticDepthAddForward(Context& context, const Dropout& depth, const Dropout (&chain)[kMaxDropouts],
                               int64_t sequences, const int32_t* offsets, int64_t cols, const float* x, const float* h,
                               const float* y, float* out) {
  const double nanoseconds = cost(kMask + kCopy, elements(sequences, offsets, cols));
  eachSequence(context, depth, sequences, offsets, nanoseconds, nullptr, [&](int64_t from, int64_t to, float s) {
    Masks masks(context.kernels, chain, kMaxDropouts);
    float layer[kPiece];
    masks.each(from, to, cols, [&](int64_t at, int64_t n) {
      masks.apply(n, y + at, layer, false);
      context.kernels.add(n, h + at, layer, layer);
      context.kernels.blend(n, s, x + at, layer, out + at);
    });
  });
}

void stochasticDepthAddBackward(Context& context, const Dropout& depth, const Dropout (&chain)[kMaxDropouts],
                                int64_t sequences, const int32_t* offsets, int64_t cols, const float* dout,
                                const Gradient& dx, const Gradient& dh, const Gradient& dy, const RowMap* map,
                                const RowMap* sequenceMap) {
  const double nanoseconds = cost(kMask + 2 * kCopy, elements(sequences, offsets, cols));
  eachSequence(context, depth, sequences, offsets, nanoseconds, sequenceMap, [&](int64_t from, int64_t to, float s) {
    Masks masks(context.kernels, chain, kMaxDropouts, map);
    float scaled[kPiece];
    masks.each(from, to, cols, [&](int64_t at, int64_t n) {
      context.kernels.scale(n, s, dout + at, scaled, false);
      if (dx.values) context.kernels.scale(n, 1.0f - s, dout + at, dx.values + at, dx.accumulate);
      if (dh.values) context.kernels.scale(n, 1.0f, scaled, dh.values + at, dh.accumulate);
      if (dy.values) masks.apply(n, scaled, dy.values + at, dy.accumulate);
    });
  });
}

}  // namespace relic
