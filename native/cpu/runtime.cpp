// Binding a batch, and the forward ops.
#include "runtime.h"

#include <cstring>

#include "pool.h"

#if defined(RELIC_POISON)
#include <algorithm>
#include <limits>
#endif

namespace relic {
namespace {

// Rough cost on one thread, for the pool to judge how many threads a job is worth.
constexpr double kNanosecondsPerCopiedFloat = 0.2;
constexpr int64_t kLine = 16;

}  // namespace

void Runtime::bind(const Plan& plan) {
  plan_ = &plan;
  const size_t floats = plan.place(layout, &offsets_);
  arena_.fit(floats);
#if defined(RELIC_POISON)
  std::fill_n(arena_.data(), arena_.capacity(), std::numeric_limits<float>::quiet_NaN());
#endif
  point();
}

void Runtime::point() {
  values_.resize(program.tensors.size());
  gradients_.resize(program.tensors.size());
  for (size_t i = 0; i < program.tensors.size(); i++) {
    values_[i] = pointer(plan_->values[i], program.tensors[i].cols);
    gradients_[i] = pointer(plan_->gradients[i], program.tensors[i].cols);
  }
}

void Runtime::keepPairs(const std::vector<int32_t>& kept) {
  keptLabels_.clear();
  for (const int32_t pair : kept) keptLabels_.push_back(labels[pair]);
  labels = keptLabels_.data();
  layout.keepPairs(kept);
  const auto start = static_cast<int32_t>(program.training.size());
  for (const Storage& storage : plan_->storages) {
    if (storage.first <= start && storage.last >= start) moveRows(storage);
  }
  point();
}

// Runs only ever move towards the front, and in order, so that none is written over before it is read.
void Runtime::moveRows(const Storage& storage) const {
  const RowMap* map = layout.map(storage.rows);
  if (map == nullptr) return;
  float* rows = arena_.data() + offsets_[static_cast<size_t>(storage.buffer)];
  for (size_t run = 0; run < map->original.size(); run++) {
    const int64_t count = (map->from[run + 1] - map->from[run]) * storage.cols;
    std::memmove(rows + map->from[run] * storage.cols, rows + map->original[run] * storage.cols,
                 static_cast<size_t>(count) * sizeof(float));
  }
}

float* Runtime::pointer(const Place& place, int64_t cols) const {
  if (place.storage < 0) return nullptr;
  const auto buffer = static_cast<size_t>(plan_->storages[static_cast<size_t>(place.storage)].buffer);
  return arena_.data() + offsets_[buffer] + (place.part == Part::b ? layout.tokensA * cols : 0);
}

void Runtime::expire([[maybe_unused]] int32_t time) {
#if defined(RELIC_POISON)
  for (const Storage& storage : plan_->storages) {
    if (storage.last != time || storage.first > storage.last) continue;
    std::fill_n(arena_.data() + offsets_[static_cast<size_t>(storage.buffer)], layout.rows(storage.rows) * storage.cols,
                std::numeric_limits<float>::quiet_NaN());
  }
#endif
}

AbsorbedArgs Runtime::absorbed(const Op& op) const {
  const std::vector<Segment>& segments = layout.segments[static_cast<int>(SegmentKind::pairToBoth)];
  return {op.attention.heads,
          op.attention.width,
          cols(op.inputs[1]),
          segments.data(),
          static_cast<int64_t>(segments.size()),
          value(op.inputs[0]),
          value(op.inputs[1]),
          parameter(op.parameters[0]),
          parameter(op.parameters[2]),
          parameter(op.parameters[3]),
          dropout(op.dropout)};
}

Dropout Runtime::dropout(const DropoutSite& site) const {
  return {{clock.key[0], clock.key[1]}, site.site, clock.step, site.threshold, site.scale};
}

AttentionArgs Runtime::attention(const Op& op) const {
  const AttentionAttributes& a = op.attention;
  const std::vector<Segment>& segments = layout.segments[static_cast<int>(a.segments)];
  const float* keyValue = value(op.inputs[1]);
  return {a.heads,
          a.width,
          segments.data(),
          static_cast<int64_t>(segments.size()),
          value(op.inputs[0]) + a.queryOffset,
          cols(op.inputs[0]),
          keyValue + a.keyOffset,
          keyValue + a.valueOffset,
          cols(op.inputs[1]),
          dropout(op.dropout)};
}

void Runtime::clear(float* values, int64_t count) {
  const double cost = static_cast<double>(count) * kNanosecondsPerCopiedFloat;
  context.pool.parallelRanges(count, kLine, cost, [&](int64_t from, int64_t to, int64_t) {
    std::memset(values + from, 0, static_cast<size_t>(to - from) * sizeof(float));
  });
}

bool Runtime::forward(const std::vector<Op>& ops, int32_t from, int32_t to, bool training, bool updateBuffers) {
  for (int32_t i = from; i < to; i++) {
    if (cancelled.load(std::memory_order_relaxed)) return false;
    forwardOp(ops[static_cast<size_t>(i)], training, updateBuffers);
    expire(i);
  }
  return true;
}

void Runtime::forwardOp(const Op& op, bool training, bool updateBuffers) {
  const auto in = [&](int i) { return value(op.inputs[i]); };
  const auto out = [&](int i) { return value(op.outputs[i]); };
  const auto weight = [&](int i) { return i < op.parameterCount ? parameter(op.parameters[i]) : nullptr; };
  const int64_t outRows = rows(op.outputs[0]), outCols = cols(op.outputs[0]);
  switch (op.kind) {
    case OpKind::gather:
      return gather(op);
    case OpKind::linear:
      return linearForward(contextOf(op), outRows, outCols, cols(op.inputs[0]), in(0), weight(0), weight(1), out(0));
    case OpKind::layerNorm:
      return layerNormForward(context, outRows, outCols, op.eps, in(0), weight(0), weight(1), out(0), out(1));
    case OpKind::batchNorm:
      return batchNorm(op, training, updateBuffers);
    case OpKind::activation:
      return activationForward(context, static_cast<Activation>(op.activation), outRows * outCols, in(0), out(0));
    case OpKind::dropout:
      return dropoutApply(context, dropout(op.dropout), outRows, outCols, in(0), out(0), false);
    case OpKind::add:
      return add(context, outRows * outCols, in(0), in(1), out(0));
    case OpKind::stochasticDepth:
      return stochasticDepthForward(context, dropout(op.dropout), layout.sequences(), layout.offsets.data(), outCols,
                                    in(0), in(1), out(0));
    case OpKind::attention:
      return attentionForward(context, attention(op), out(0), out(1));
    case OpKind::activationDropout:
      return activationDropoutForward(context, static_cast<Activation>(op.activation), dropout(op.dropout), outRows,
                                      outCols, in(0), out(0));
    case OpKind::dropoutAdd:
      return dropoutAddForward(context, {dropout(op.chain[0]), dropout(op.chain[1])}, outRows, outCols, in(0), in(1),
                               out(0));
    case OpKind::stochasticDepthAdd:
      return stochasticDepthAddForward(context, dropout(op.dropout), {dropout(op.chain[0]), dropout(op.chain[1])},
                                       layout.sequences(), layout.offsets.data(), outCols, in(0), in(1), in(2), out(0));
    case OpKind::absorbedAttention:
      return absorbedAttentionForward(context, absorbed(op), out(0), out(1), out(2), out(3));
    case OpKind::sliceRows:
      // The plan placed the output on the rows of the input.
      return;
    case OpKind::concatRows:
      return concat(op);
    case OpKind::expand:
      for (int64_t r = 0; r < outRows; r++) {
        std::memcpy(out(0) + r * outCols, weight(0), static_cast<size_t>(outCols) * sizeof(float));
      }
      return;
    case OpKind::bceLoss:
      return bceForward(outRows, op.posWeight, op.smoothing, in(0), labels, out(0));
  }
}

void Runtime::gather(const Op& op) {
  float* out = value(op.outputs[0]);
  const int64_t dim = cols(op.outputs[0]);
  const double cost = static_cast<double>(layout.tokens * dim) * kNanosecondsPerCopiedFloat;
  context.pool.parallelRanges(layout.sequences(), 1, cost, [&](int64_t from, int64_t to, int64_t) {
    for (auto i = static_cast<size_t>(from); i < static_cast<size_t>(to); i++) {
      store.read(layout.proteins[i], out + layout.offsets[i] * dim);
    }
  });
}

// Copies the sides that the plan could not place on the output's rows.
void Runtime::concat(const Op& op) {
  float* out = value(op.outputs[0]);
  for (int k = 0; k < op.inputCount; k++) {
    const int32_t input = op.inputs[k];
    if (value(input) != out) copyOrAdd(context, size(input), value(input), out, false);
    out += size(input);
  }
}

void Runtime::batchNorm(const Op& op, bool training, bool updateBuffers) {
  const BatchNormAttributes& norm = op.batchNorm;
  const float* x = value(op.inputs[0]);
  const float *weight = parameter(op.parameters[0]), *bias = parameter(op.parameters[1]);
  float *y = value(op.outputs[0]), *stats = value(op.outputs[1]);
  float *mean = states.values(norm.runningMean), *variance = states.values(norm.runningVar);
  const int64_t count = rows(op.inputs[0]), width = cols(op.inputs[0]);
  if (!training) return batchNormInfer(count, width, norm.eps, x, weight, bias, mean, variance, y);
  if (!updateBuffers) mean = variance = nullptr;
  batchNormTrain(count, width, norm.eps, norm.momentum, x, weight, bias, y, stats, mean, variance);
  if (updateBuffers) states.values(norm.batches)[0] += 1;
}

}  // namespace relic
