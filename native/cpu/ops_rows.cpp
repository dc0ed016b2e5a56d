// Ops over rows and elements: norms, activations, dropout, sums, the loss.
#include <algorithm>
#include <cmath>

#include "kernels/kernels.h"
#include "ops.h"
#include "pool.h"
#include "relic/math.h"

namespace relic {
namespace {

// Nanoseconds an element costs one thread, to decide how many threads an op is worth.
constexpr double kNormForward = 0.25;
constexpr double kNormBackward = 0.35;
constexpr double kActivation = 0.6;
constexpr double kMask = 0.5;
constexpr double kCopy = 0.15;
// Ranges of elements start at whole cache lines.
constexpr int64_t kElementUnit = 256;
// Draws made at a time: they stay in the innermost cache.
constexpr int64_t kDrawBlocks = 256;
constexpr int64_t kDrawRoom = kDrawBlocks * 8 + 128;

double cost(double nanoseconds, int64_t count) { return nanoseconds * static_cast<double>(count); }

MaskKey maskKey(const Dropout& dropout) { return {{dropout.key[0], dropout.key[1]}, dropout.site, dropout.step}; }

// Stochastic depth's draw: 0 or scale.
float sequenceDraw(const Dropout& d, int64_t sequence) {
  if (d.threshold == 0) return 1.0f;
  const uint32_t draw = maskDraw(d.key[0], d.key[1], d.site, d.step, static_cast<uint32_t>(sequence), 0);
  return draw < d.threshold ? 0.0f : d.scale;
}

// Calls visit(from, to, draw) with the element range of each sequence.
template <typename Visit>
void eachSequence(Context& context, const Dropout& dropout, int64_t sequences, const int32_t* offsets, int64_t cols,
                  Visit&& visit) {
  const int64_t count = sequences > 0 ? (offsets[sequences] - offsets[0]) * cols : 0;
  context.pool.parallelRanges(sequences, 1, cost(kCopy, count), [&](int64_t first, int64_t last, int64_t) {
    for (int64_t i = first; i < last; i++) {
      visit(offsets[i] * cols, offsets[i + 1] * cols, sequenceDraw(dropout, i));
    }
  });
}

// The masks of whole rows of `blocks` blocks, kDrawBlocks at a time.
void applyDropoutRows(const Kernels& kernels, const Dropout& dropout, int64_t from, int64_t to, int64_t cols,
                      const float* in, float* out, bool accumulate) {
  uint16_t draws[kDrawRoom];
  const MaskKey key = maskKey(dropout);
  const int64_t blocks = (cols + 7) / 8;
  const bool dense = cols % 8 == 0;
  const int64_t rowsAtOnce = std::max<int64_t>(1, kDrawBlocks / blocks);
  for (int64_t row = from; row < to; row += rowsAtOnce) {
    const int64_t rows = std::min(rowsAtOnce, to - row);
    if (blocks > kDrawBlocks || !dense) {
      // Long rows go by pieces of one row; ragged ones leave a gap in the draws after each row.
      for (int64_t r = row; r < row + rows; r++) {
        for (int64_t block = 0; block < blocks; block += kDrawBlocks) {
          const int64_t used = std::min(kDrawBlocks, blocks - block);
          const int64_t at = r * cols + block * 8;
          kernels.draw(key, static_cast<uint32_t>(r), 1, 1, block, used, draws);
          kernels.applyMask(std::min(used * 8, cols - block * 8), draws, dropout.threshold, dropout.scale, in + at,
                            out + at, accumulate);
        }
      }
      continue;
    }
    kernels.draw(key, static_cast<uint32_t>(row), 1, rows, 0, blocks, draws);
    kernels.applyMask(rows * cols, draws, dropout.threshold, dropout.scale, in + row * cols, out + row * cols,
                      accumulate);
  }
}

}  // namespace

void layerNormForward(Context& context, int64_t rows, int64_t cols, float eps, const float* x, const float* weight,
                      const float* bias, float* y, float* stats) {
  context.pool.parallelRanges(rows, 1, cost(kNormForward, rows * cols), [&](int64_t from, int64_t to, int64_t) {
    context.kernels.layerNormForward(to - from, cols, eps, x + from * cols, weight, bias, y + from * cols,
                                     stats + 2 * from);
  });
}

void layerNormBackward(Context& context, int64_t rows, int64_t cols, const float* x, const float* weight,
                       const float* stats, const float* dy, float* dx, bool accumulateX, float* dweight,
                       bool accumulateWeight, float* dbias, bool accumulateBias) {
  const double nanoseconds = cost(kNormBackward, rows * cols);
  const int64_t parts = context.pool.partsFor(nanoseconds);
  const size_t size = static_cast<size_t>(cols);
  // Every part sums into rows of its own: its weight gradient, then its bias gradient.
  context.pool.reserve(parts, 2 * size);
  for (int64_t part = 0; part < parts; part++) std::fill_n(context.pool.scratch(part), 2 * size, 0.0f);
  context.pool.parallelRanges(rows, 1, nanoseconds, [&](int64_t from, int64_t to, int64_t part) {
    float* sums = context.pool.scratch(part);
    context.kernels.layerNormBackward(to - from, cols, x + from * cols, weight, stats + 2 * from, dy + from * cols,
                                      dx ? dx + from * cols : nullptr, accumulateX, dweight ? sums : nullptr,
                                      dbias ? sums + size : nullptr);
  });
  const auto collect = [&](float* target, bool accumulate, size_t offset) {
    if (!target) return;
    if (!accumulate) std::fill_n(target, size, 0.0f);
    for (int64_t part = 0; part < parts; part++) {
      context.kernels.add(cols, target, context.pool.scratch(part) + offset, target);
    }
  };
  collect(dweight, accumulateWeight, 0);
  collect(dbias, accumulateBias, size);
}

void batchNormTrain(int64_t rows, int64_t cols, float eps, float momentum, const float* x, const float* weight,
                    const float* bias, float* y, float* stats, float* runningMean, float* runningVar) {
  for (int64_t c = 0; c < cols; c++) {
    double mean = 0;
    for (int64_t r = 0; r < rows; r++) mean += x[r * cols + c];
    mean /= static_cast<double>(rows);
    double squares = 0;
    for (int64_t r = 0; r < rows; r++) {
      const double d = x[r * cols + c] - mean;
      squares += d * d;
    }
    stats[c] = static_cast<float>(mean);
    stats[cols + c] = static_cast<float>(1 / std::sqrt(squares / static_cast<double>(rows) + eps));
    if (runningMean) {
      runningMean[c] = static_cast<float>((1.0 - momentum) * runningMean[c] + momentum * mean);
    }
    if (runningVar) {
      const double unbiased = squares / static_cast<double>(rows - 1);
      runningVar[c] = static_cast<float>((1.0 - momentum) * runningVar[c] + momentum * unbiased);
    }
  }
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t c = 0; c < cols; c++) {
      y[r * cols + c] = (x[r * cols + c] - stats[c]) * stats[cols + c] * weight[c] + bias[c];
    }
  }
}

void batchNormInfer(int64_t rows, int64_t cols, float eps, const float* x, const float* weight, const float* bias,
                    const float* runningMean, const float* runningVar, float* y) {
  for (int64_t c = 0; c < cols; c++) {
    const float scale = static_cast<float>(1 / std::sqrt(static_cast<double>(runningVar[c]) + eps));
    for (int64_t r = 0; r < rows; r++) {
      y[r * cols + c] = (x[r * cols + c] - runningMean[c]) * scale * weight[c] + bias[c];
    }
  }
}

void batchNormBackward(int64_t rows, int64_t cols, const float* x, const float* weight, const float* stats,
                       const float* dy, float* dx, bool accumulateX, float* dweight, bool accumulateWeight,
                       float* dbias, bool accumulateBias) {
  const auto give = [](float& target, double value, bool accumulate) {
    target = static_cast<float>(accumulate ? target + value : value);
  };
  for (int64_t c = 0; c < cols; c++) {
    const double mean = stats[c], scale = stats[cols + c];
    double sum = 0, dot = 0;
    for (int64_t i = c; i < rows * cols; i += cols) {
      sum += dy[i];
      dot += dy[i] * (x[i] - mean) * scale;
    }
    if (dweight) give(dweight[c], dot, accumulateWeight);
    if (dbias) give(dbias[c], sum, accumulateBias);
    if (!dx) continue;
    for (int64_t i = c; i < rows * cols; i += cols) {
      const double normed = (x[i] - mean) * scale;
      give(dx[i], weight[c] * scale * (dy[i] - (sum + normed * dot) / static_cast<double>(rows)), accumulateX);
    }
  }
}

void activationForward(Context& context, Activation activation, int64_t count, const float* x, float* y) {
  const auto kernel = context.kernels.activationForward[static_cast<int>(activation)];
  context.pool.parallelRanges(count, kElementUnit, cost(kActivation, count),
                              [&](int64_t from, int64_t to, int64_t) { kernel(to - from, x + from, y + from); });
}

void activationBackward(Context& context, Activation activation, int64_t count, const float* x, const float* dy,
                        float* dx, bool accumulate) {
  const auto kernel = context.kernels.activationBackward[static_cast<int>(activation)];
  context.pool.parallelRanges(count, kElementUnit, cost(kActivation, count), [&](int64_t from, int64_t to, int64_t) {
    kernel(to - from, x + from, dy + from, dx + from, accumulate);
  });
}

void dropoutApply(Context& context, const Dropout& dropout, int64_t rows, int64_t cols, const float* in, float* out,
                  bool accumulate) {
  if (cols <= 0) return;
  if (dropout.threshold == 0) return copyOrAdd(context, rows * cols, in, out, accumulate);
  context.pool.parallelRanges(rows, 1, cost(kMask, rows * cols), [&](int64_t from, int64_t to, int64_t) {
    applyDropoutRows(context.kernels, dropout, from, to, cols, in, out, accumulate);
  });
}

void add(Context& context, int64_t count, const float* a, const float* b, float* y) {
  context.pool.parallelRanges(count, kElementUnit, cost(kCopy, count), [&](int64_t from, int64_t to, int64_t) {
    context.kernels.add(to - from, a + from, b + from, y + from);
  });
}

void copyOrAdd(Context& context, int64_t count, const float* in, float* out, bool accumulate) {
  if (accumulate) return add(context, count, in, out, out);
  if (in == out) return;
  context.pool.parallelRanges(count, kElementUnit, cost(kCopy, count),
                              [&](int64_t from, int64_t to, int64_t) { std::copy(in + from, in + to, out + from); });
}

void stochasticDepthForward(Context& context, const Dropout& dropout, int64_t sequences, const int32_t* offsets,
                            int64_t cols, const float* x, const float* y, float* out) {
  eachSequence(context, dropout, sequences, offsets, cols, [&](int64_t from, int64_t to, float s) {
    context.kernels.blend(to - from, s, x + from, y + from, out + from);
  });
}

void stochasticDepthBackward(Context& context, const Dropout& dropout, int64_t sequences, const int32_t* offsets,
                             int64_t cols, const float* dout, float* dx, bool accumulateX, float* dy,
                             bool accumulateY) {
  eachSequence(context, dropout, sequences, offsets, cols, [&](int64_t from, int64_t to, float s) {
    if (dx) context.kernels.scale(to - from, 1.0f - s, dout + from, dx + from, accumulateX);
    if (dy) context.kernels.scale(to - from, s, dout + from, dy + from, accumulateY);
  });
}

void bceForward(int64_t pairs, float posWeight, float smoothing, const float* logits, const float* labels,
                float* loss) {
  for (int64_t i = 0; i < pairs; i++) {
    loss[i] = static_cast<float>(bceLoss(logits[i], smoothedLabel(labels[i], smoothing), posWeight));
  }
}

void bceBackward(int64_t pairs, float posWeight, float smoothing, const float* logits, const float* labels,
                 const float* dloss, float* dlogits, bool accumulate) {
  for (int64_t i = 0; i < pairs; i++) {
    const double d = dloss[i] * bceSlope(logits[i], smoothedLabel(labels[i], smoothing), posWeight);
    dlogits[i] = static_cast<float>(accumulate ? dlogits[i] + d : d);
  }
}

void scale(Context& context, int64_t count, float s, float* y) {
  context.pool.parallelRanges(count, kElementUnit, cost(kCopy, count), [&](int64_t from, int64_t to, int64_t) {
    context.kernels.scale(to - from, s, y + from, y + from, false);
  });
}

}  // namespace relic
