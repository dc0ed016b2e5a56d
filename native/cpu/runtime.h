// One batch bound to the memory of a plan: what the ops of a run read and write.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "arena.h"
#include "comm/exchange.h"
#include "layout.h"
#include "optimizer_state.h"
#include "ops.h"
#include "plan.h"
#include "relic/program.h"
#include "states.h"

namespace relic {

// Of a training step.
struct DropoutClock {
  uint32_t key[2] = {0, 0};
  uint32_t step = 0;
};

class Runtime {
 public:
  // `linearContext` has the products of the linear layers over residues; those of the few rows of pairs stay exact.
  Runtime(const Program& program, const Store& store, Context context, Context linearContext, States& states)
      : program(program), store(store), context(context), linearContext(linearContext), states(states) {}

  // Lays the batch of `layout` out by `plan`, which must outlive the run.
  void bind(const Plan& plan);

  // Runs ops [from, to). Training: with dropout, batch statistics, and running statistics that move if `updateBuffers`.
  // False when it was cancelled before the end, as of backward.
  bool forward(const std::vector<Op>& ops, int32_t from, int32_t to, bool training, bool updateBuffers);
  // Between forward and backward: cuts the batch down to some of its pairs, ascending. What backward reads is moved
  // together; nothing else may depend on the other pairs (batch norm does).
  void keepPairs(const std::vector<int32_t>& kept);
  // The backward list of the bound plan. `addParameters`: to the gradients of the shards before. `exchange`, or null,
  // is told of every step that is done.
  bool backward(OptimizerState& optimizer, bool addParameters, comm::GradientExchange* exchange);

  float* value(int32_t tensor) const { return values_[static_cast<size_t>(tensor)]; }
  float* gradient(int32_t tensor) const { return gradients_[static_cast<size_t>(tensor)]; }
  int64_t rows(int32_t tensor) const { return layout.rows(program.tensors[static_cast<size_t>(tensor)].rows); }
  int64_t cols(int32_t tensor) const { return program.tensors[static_cast<size_t>(tensor)].cols; }
  int64_t size(int32_t tensor) const { return rows(tensor) * cols(tensor); }
  const float* parameter(const ParameterSlice& slice) const { return states.values(slice.state) + slice.offset(); }
  Context& contextOf(const Op& linear) {
    const bool pairs = program.tensors[static_cast<size_t>(linear.outputs[0])].rows == kPairs;
    return pairs ? context : linearContext;
  }
  Dropout dropout(const DropoutSite& site) const;
  AttentionArgs attention(const Op& op) const;
  AbsorbedArgs absorbed(const Op& op) const;
  void clear(float* values, int64_t count);

  size_t bytes() const { return arena_.bytes(); }

  const Program& program;
  const Store& store;
  Context context, linearContext;
  States& states;
  // Set before a run.
  Layout layout;
  const float* labels = nullptr;
  DropoutClock clock;
  // Looked at between ops; set by any thread.
  std::atomic<bool> cancelled{false};

 private:
  void forwardOp(const Op& op, bool training, bool updateBuffers);
  void gather(const Op& op);
  void concat(const Op& op);
  void batchNorm(const Op& op, bool training, bool updateBuffers);
  float* pointer(const Place& place, int64_t cols) const;
  void point();
  void moveRows(const Storage& storage) const;
  // With RELIC_POISON, fills the storages whose life ends at `time` with NaN, so that a wrong plan shows.
  void expire(int32_t time);

  Arena arena_;
  const Plan* plan_ = nullptr;
  std::vector<size_t> offsets_;
  std::vector<float*> values_, gradients_;
  std::vector<float> keptLabels_;
};

}  // namespace relic
