#include "plan.h"

#include <algorithm>

#include "arena.h"

namespace relic {
namespace {

// Ops that may write their output over an input that dies with them: each element depends on the same element alone.
bool runsInPlace(OpKind kind) {
  return kind == OpKind::dropout || kind == OpKind::activation || kind == OpKind::add ||
         kind == OpKind::activationDropout || kind == OpKind::dropoutAdd || kind == OpKind::stochasticDepthAdd;
}

class ValuePlanner {
 public:
  // lastUse: by tensor, the last time its value is read.
  ValuePlanner(const Program& program, const std::vector<int32_t>& lastUse, Plan* plan)
      : program_(program), lastUse_(lastUse), plan_(*plan) {
    plan_.values.assign(program.tensors.size(), Place{});
  }

  void own(int32_t tensor, int32_t time) {
    const TensorSpec& spec = program_.tensors[index(tensor)];
    Storage storage{spec.rows, spec.floatsPerRow()};
    storage.extend(time, std::max(time, lastUse_[index(tensor)]));
    plan_.storages.push_back(storage);
    place(tensor) = {static_cast<int32_t>(plan_.storages.size()) - 1, Part::whole};
  }

  void run(const Op& op, int32_t time) {
    if (op.kind == OpKind::sliceRows) {
      share(op.outputs[0], {place(op.inputs[0]).storage, op.sideB ? Part::b : Part::a}, time);
      return;
    }
    if (runsInPlace(op.kind)) {
      for (int i = 0; i < op.inputCount; i++) {
        if (!sameBytes(op.inputs[i], op.outputs[0]) || storageOf(op.inputs[i]).last != time) continue;
        return share(op.outputs[0], place(op.inputs[i]), time);
      }
    }
    for (int i = 0; i < op.outputCount; i++) own(op.outputs[i], time);
    if (op.kind == OpKind::concatRows) {
      const Part parts[] = {Part::a, Part::b};
      for (int i = 0; i < 2; i++) {
        if (sameBytes(op.inputs[i], op.outputs[0])) adopt(op.inputs[i], op.outputs[0], parts[i]);
      }
    }
  }

 private:
  static size_t index(int32_t i) { return static_cast<size_t>(i); }
  Place& place(int32_t tensor) { return plan_.values[index(tensor)]; }
  Storage& storageOf(int32_t tensor) { return plan_.storages[index(place(tensor).storage)]; }
  bool sameBytes(int32_t a, int32_t b) const {
    return program_.tensors[index(a)].bytes == program_.tensors[index(b)].bytes;
  }

  void share(int32_t tensor, Place at, int32_t time) {
    place(tensor) = at;
    storageOf(tensor).extend(time, std::max(time, lastUse_[index(tensor)]));
  }

  // Moves the storage of `half`, if it has one of its own, into a part of that of `whole`, so that no copy is needed.
  void adopt(int32_t half, int32_t whole, Part part) {
    if (place(half).part != Part::whole) return;
    const int32_t from = place(half).storage;
    const int32_t to = place(whole).storage;
    Storage& source = plan_.storages[index(from)];
    plan_.storages[index(to)].extend(source.first, source.last);
    source.first = INT32_MAX;
    source.last = -1;
    for (Place& each : plan_.values) {
      if (each.storage == from) each = {to, part};
    }
  }

  const Program& program_;
  const std::vector<int32_t>& lastUse_;
  Plan& plan_;
};

// Which values the backward of an op reads.
template <typename Read>
void valuesReadBackward(const Op& op, const BackwardOp& backward, const Read& read) {
  const auto wanted = [](Target target) { return target != Target::none; };
  const bool input = wanted(backward.inputs[0]) || (op.inputCount > 1 && wanted(backward.inputs[1]));
  switch (op.kind) {
    case OpKind::linear:
      if (wanted(backward.parameters[0])) read(op.inputs[0]);
      break;
    case OpKind::layerNorm:
    case OpKind::batchNorm:
      read(op.inputs[0]);
      read(op.outputs[1]);
      break;
    case OpKind::activation:
    case OpKind::activationDropout:
    case OpKind::bceLoss:
      if (input) read(op.inputs[0]);
      break;
    case OpKind::attention:
      if (!input) break;
      [[fallthrough]];
    case OpKind::absorbedAttention:
      for (int k = 0; k < op.inputCount; k++) read(op.inputs[k]);
      for (int k = op.kind == OpKind::attention ? 0 : 1; k < op.outputCount; k++) read(op.outputs[k]);
      break;
    default:
      break;
  }
}

void markForwardReads(const std::vector<Op>& ops, int32_t from, int32_t to, std::vector<int32_t>* lastUse) {
  for (int32_t i = from; i < to; i++) {
    const Op& op = ops[static_cast<size_t>(i)];
    for (int k = 0; k < op.inputCount; k++) (*lastUse)[static_cast<size_t>(op.inputs[k])] = i;
  }
}

// Gives every living storage a buffer, the widest first, so that no buffer ever has to be widened: the smallest
// existing one that is free for the storage's whole life, else a new one. (Greedy by size: Pisarchyk & Lee 2020.)
void assignBuffers(Plan* plan) {
  std::vector<size_t> order;
  for (size_t i = 0; i < plan->storages.size(); i++) {
    if (plan->storages[i].first <= plan->storages[i].last) order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [&](size_t i, size_t j) {
    const Storage &a = plan->storages[i], &b = plan->storages[j];
    if (a.cols != b.cols) return a.cols > b.cols;
    return a.first != b.first ? a.first < b.first : i < j;
  });
  std::vector<std::vector<size_t>> tenants;
  for (const size_t i : order) {
    Storage& storage = plan->storages[i];
    const auto isFree = [&](size_t buffer) {
      if (plan->buffers[buffer].rows != storage.rows) return false;
      return std::none_of(tenants[buffer].begin(), tenants[buffer].end(), [&](size_t other) {
        return plan->storages[other].first <= storage.last && storage.first <= plan->storages[other].last;
      });
    };
    size_t buffer = plan->buffers.size();
    while (buffer > 0 && !isFree(buffer - 1)) buffer--;
    if (buffer == 0) {
      plan->buffers.push_back({storage.rows, storage.cols});
      tenants.emplace_back();
      buffer = plan->buffers.size();
    }
    storage.buffer = static_cast<int32_t>(buffer - 1);
    tenants[buffer - 1].push_back(i);
  }
}

}  // namespace

size_t Plan::place(const Layout& layout, std::vector<size_t>* offsets) const {
  offsets->clear();
  size_t at = 0;
  for (const Buffer& buffer : buffers) {
    offsets->push_back(at);
    at += wholeLines(static_cast<size_t>(layout.rows(buffer.rows)) * static_cast<size_t>(buffer.cols));
  }
  return at;
}

Plan planScoring(const Program& program, int32_t from, int32_t to, int32_t given, const std::vector<int32_t>& kept) {
  Plan plan;
  std::vector<int32_t> lastUse(program.tensors.size(), -1);
  markForwardReads(program.scoring, from, to, &lastUse);
  for (const int32_t tensor : kept) lastUse[static_cast<size_t>(tensor)] = to;
  ValuePlanner planner(program, lastUse, &plan);
  if (given >= 0) planner.own(given, from);
  for (int32_t i = from; i < to; i++) planner.run(program.scoring[static_cast<size_t>(i)], i);
  plan.gradients.assign(program.tensors.size(), Place{});
  assignBuffers(&plan);
  return plan;
}

Plan planTraining(const Program& program, const Gradients& gradients) {
  Plan plan;
  const auto forward = static_cast<int32_t>(program.training.size());
  std::vector<int32_t> lastUse(program.tensors.size(), -1);
  markForwardReads(program.training, 0, forward, &lastUse);
  lastUse[static_cast<size_t>(program.lossPerPair)] = forward;
  int32_t time = forward;
  for (const BackwardOp& backward : gradients.ops) {
    time++;
    const Op& op = program.training[static_cast<size_t>(backward.op)];
    valuesReadBackward(op, backward, [&](int32_t tensor) { lastUse[static_cast<size_t>(tensor)] = time; });
  }
  ValuePlanner planner(program, lastUse, &plan);
  for (int32_t i = 0; i < forward; i++) planner.run(program.training[static_cast<size_t>(i)], i);
  placeGradients(program, gradients, forward, &plan);
  assignBuffers(&plan);
  return plan;
}

std::vector<int32_t> lastGradientSteps(const Program& program, const Plan& plan) {
  std::vector<int32_t> last(program.states.size(), -1);
  for (size_t step = 0; step < plan.backward.size(); step++) {
    const BackwardStep& backward = plan.backward[step];
    const Op& op = program.training[static_cast<size_t>(backward.op)];
    for (int k = 0; k < op.parameterCount; k++) {
      if (backward.parameters[k] == Target::none) continue;
      last[static_cast<size_t>(op.parameters[k].state)] = static_cast<int32_t>(step);
    }
  }
  return last;
}

}  // namespace relic
