// Ops over rows and elements: norms, activations, sums, the loss.
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
constexpr double kCopy = 0.15;
// Ranges of elements start at whole cache lines.
constexpr int64_t kElementUnit = 256;
double cost(double nanoseconds, int64_t count) { return nanoseconds * static_cast<double>(count); }

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
