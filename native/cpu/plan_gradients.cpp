// Where gradients lie. The gradient of a sum is that of both its terms, the gradient of a row slice is a part of its
// input's, and dropout and activations can change a gradient in place: sharing memory there saves most copies of a
// backward pass. Whether a given sharing is right depends on the order in which the backward list writes and reads, so
// each one is tried, and kept only if the list, run on symbols, still reads the same sums everywhere.
#include <algorithm>

#include "plan.h"

namespace relic {
namespace {

size_t index(int32_t i) { return static_cast<size_t>(i); }

// Ops whose backward may write the gradient of the input over that of the output.
bool backwardInPlace(OpKind kind) {
  return kind == OpKind::dropout || kind == OpKind::activation || kind == OpKind::activationDropout;
}

// A multiset of contributions, as the sum of one pseudo-random word for each: in 64 bits, equal sums are equal sets.
using Sum = uint64_t;

// SplitMix64 (Steele et al. 2014).
Sum wordOf(uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

constexpr int kSlots = 2;
// What memory holds before it is written: no sum of contributions equals it.
const Sum kUnwritten = wordOf(~uint64_t{0});

// The parts of a storage or tensor: A and B rows when it has rows `tokens`, else one.
struct Slots {
  int from, to;
};

class GradientPlanner {
 public:
  GradientPlanner(const Program& program, const Gradients& gradients, int32_t start, Plan* plan)
      : program_(program), start_(start), plan_(*plan) {
    plan_.gradients.assign(program.tensors.size(), Place{});
    own(program.lossPerPair);
    for (const BackwardOp& backward : gradients.ops) {
      BackwardStep step{};
      step.op = backward.op;
      std::copy(std::begin(backward.parameters), std::end(backward.parameters), step.parameters);
      const Op& op = opOf(backward);
      for (int k = 0; k < op.inputCount; k++) {
        if (backward.inputs[k] == Target::none) continue;
        own(op.inputs[k]);
        step.inputs[k] = backward.inputs[k] == Target::add ? Action::add : Action::write;
      }
      // Its backward makes the gradients of what it saved.
      if (op.kind == OpKind::absorbedAttention) {
        for (const int k : {2, 3}) own(op.outputs[k]);
      }
      // One tensor read twice by an attention: what one input wrote, the next adds to.
      for (int k = 1; k < op.inputCount; k++) {
        const bool written = std::find(op.inputs, op.inputs + k, op.inputs[k]) != op.inputs + k;
        if (written && step.inputs[k] == Action::write) step.inputs[k] = Action::add;
      }
      plan_.backward.push_back(step);
    }
    expect();
  }

  void shareMemory() {
    for (size_t j = 0; j < plan_.backward.size(); j++) {
      const Op& op = opAt(j);
      switch (op.kind) {
        case OpKind::add:
          for (int k = 0; k < 2; k++) shareSum(j, k);
          break;
        case OpKind::dropoutAdd:
          shareSum(j, 0);
          break;
        case OpKind::sliceRows:
          shareSlices(j);
          break;
        case OpKind::concatRows:
          shareHalves(j);
          break;
        default:
          if (backwardInPlace(op.kind) && plan_.backward[j].inputs[0] == Action::write) {
            attempt([&] { return join(op.inputs[0], op.outputs[0], Part::whole); });
          }
      }
    }
  }

  // Sets the life of every storage.
  void finish() {
    touch(program_.lossPerPair, start_);
    for (size_t j = 0; j < plan_.backward.size(); j++) {
      const int32_t time = start_ + 1 + static_cast<int32_t>(j);
      const Op& op = opAt(j);
      touch(op.outputs[0], time);
      if (op.kind == OpKind::absorbedAttention) {
        for (const int k : {2, 3}) touch(op.outputs[k], time);
      }
      for (int k = 0; k < op.inputCount; k++) {
        if (plan_.backward[j].inputs[k] != Action::none) touch(op.inputs[k], time);
      }
    }
  }

 private:
  const Op& opOf(const BackwardOp& backward) const { return program_.training[index(backward.op)]; }
  const Op& opAt(size_t step) const { return program_.training[index(plan_.backward[step].op)]; }
  Place& place(int32_t tensor) { return plan_.gradients[index(tensor)]; }
  Storage& storageOf(int32_t tensor) { return plan_.storages[index(place(tensor).storage)]; }
  void touch(int32_t tensor, int32_t time) { storageOf(tensor).extend(time, time); }

  void own(int32_t tensor) {
    if (place(tensor).storage >= 0) return;
    const TensorSpec& spec = program_.tensors[index(tensor)];
    plan_.storages.push_back(Storage{spec.rows, spec.floatsPerRow()});
    place(tensor) = {static_cast<int32_t>(plan_.storages.size()) - 1, Part::whole};
  }

  // --- The run on symbols --------------------------------------------------------------------------------------------

  int partsOf(int32_t tensor) const { return program_.tensors[index(tensor)].rows == kTokens ? 2 : 1; }

  // The slots of its storage that a tensor has.
  Slots slotsOf(int32_t tensor) {
    switch (place(tensor).part) {
      case Part::a:
        return {0, 1};
      case Part::b:
        return {1, 2};
      default:
        return {0, storageOf(tensor).rows == kTokens ? 2 : 1};
    }
  }

  // What part `part` of input k receives from step j, whose output's gradient is `output`; false when nothing.
  bool contribution(size_t j, int k, int part, const Sum* output, Sum* sum) const {
    const Op& op = opAt(j);
    switch (op.kind) {
      case OpKind::add:
        *sum = output[part];
        return true;
      case OpKind::dropoutAdd:
        *sum = k == 0 ? output[part] : wordOf(j * 16 + static_cast<uint64_t>(k * 2 + part));
        return true;
      case OpKind::concatRows:
        *sum = output[k];
        return true;
      case OpKind::sliceRows:
        *sum = output[0];
        return part == (op.sideB ? 1 : 0);
      default:
        *sum = wordOf(j * 16 + static_cast<uint64_t>(k * 2 + part));
        return true;
    }
  }

  // The gradients as the backward list defines them, each tensor by itself.
  void expect() {
    expected_.assign(program_.tensors.size() * kSlots, 0);
    expectedOf(program_.lossPerPair)[0] = wordOf(~uint64_t{1});
    for (size_t j = 0; j < plan_.backward.size(); j++) {
      const Op& op = opAt(j);
      const Sum output[kSlots] = {expectedOf(op.outputs[0])[0], expectedOf(op.outputs[0])[1]};
      for (int k = 0; k < op.inputCount; k++) {
        if (plan_.backward[j].inputs[k] == Action::none) continue;
        for (int part = 0; part < partsOf(op.inputs[k]); part++) {
          Sum sum;
          if (contribution(j, k, part, output, &sum)) expectedOf(op.inputs[k])[part] += sum;
        }
      }
    }
  }

  Sum* expectedOf(int32_t tensor) { return &expected_[index(tensor) * kSlots]; }

  // Whether every step reads what it should with the places and actions of now.
  bool holds() {
    content_.assign(plan_.storages.size() * kSlots, kUnwritten);
    contentOf(program_.lossPerPair)[0] = expectedOf(program_.lossPerPair)[0];
    for (size_t j = 0; j < plan_.backward.size(); j++) {
      if (!stepHolds(j)) return false;
    }
    return true;
  }

  // The content of a tensor's first slot.
  Sum* contentOf(int32_t tensor) {
    return &content_[index(place(tensor).storage) * kSlots + index(slotsOf(tensor).from)];
  }

  bool stepHolds(size_t j) {
    const Op& op = opAt(j);
    const BackwardStep& step = plan_.backward[j];
    const int32_t output = op.outputs[0];
    const Sum* expected = expectedOf(output);
    bool reads = op.kind != OpKind::add && op.kind != OpKind::sliceRows && op.kind != OpKind::concatRows;
    for (int k = 0; k < op.inputCount; k++) reads |= step.inputs[k] == Action::write || step.inputs[k] == Action::add;
    if (!reads) return true;
    if (!std::equal(expected, expected + partsOf(output), contentOf(output))) return false;
    for (int k = 0; k < op.inputCount; k++) {
      const Action action = step.inputs[k];
      if (action == Action::none || action == Action::shared) continue;
      const int32_t input = op.inputs[k];
      if (overlap(input, output) && !(backwardInPlace(op.kind) && action == Action::write)) return false;
      Sum* content = contentOf(input);
      for (int part = 0; part < partsOf(input); part++) {
        Sum sum;
        if (!contribution(j, k, part, expected, &sum)) sum = 0;
        content[part] = action == Action::write ? sum : content[part] + sum;
      }
    }
    return true;
  }

  bool overlap(int32_t x, int32_t y) {
    const Slots a = slotsOf(x), b = slotsOf(y);
    return place(x).storage == place(y).storage && a.from < b.to && b.from < a.to;
  }

  // --- Attempts ------------------------------------------------------------------------------------------------------

  // Keeps what `change` does if it returns true and the list still holds.
  template <typename Change>
  bool attempt(const Change& change) {
    const std::vector<Place> places = plan_.gradients;
    const std::vector<BackwardStep> steps = plan_.backward;
    if (change() && holds()) return true;
    plan_.gradients = places;
    plan_.backward = steps;
    return false;
  }

  // Puts the gradient of `child` into the rows `part` of that of `parent`, with whatever lies there already.
  bool join(int32_t child, int32_t parent, Part part) {
    if (program_.tensors[index(child)].bytes != program_.tensors[index(parent)].bytes) return false;
    const Place c = place(child), p = place(parent);
    const bool sameRows = part == Part::whole;
    if (c.storage == p.storage) return c.part == (sameRows ? p.part : part);
    if (c.part == Part::whole) {
      move(c.storage, p.storage, sameRows ? p.part : part);
    } else if (sameRows && p.part == Part::whole) {
      move(p.storage, c.storage, c.part);
    } else if (!sameRows && c.part == part) {
      move(p.storage, c.storage, Part::whole);
    } else {
      return false;
    }
    return true;
  }

  // Moves all tensors of one storage into another, as its part `part`.
  void move(int32_t from, int32_t to, Part part) {
    for (Place& each : plan_.gradients) {
      if (each.storage != from) continue;
      each.storage = to;
      if (part != Part::whole) each.part = part;
    }
  }

  bool share(size_t j, int k, Part part) {
    const Op& op = opAt(j);
    Action& action = plan_.backward[j].inputs[k];
    if (action == Action::none) return false;
    // A slice is a part of its input; elsewhere the input is the output, or a part of it.
    const bool slice = op.kind == OpKind::sliceRows;
    if (!join(slice ? op.outputs[0] : op.inputs[k], slice ? op.inputs[k] : op.outputs[0], part)) return false;
    action = Action::shared;
    return true;
  }

  // The first write to a gradient becomes an addition: its memory holds another gradient that it shall join.
  bool addFromStart(int32_t tensor) {
    for (size_t j = 0; j < plan_.backward.size(); j++) {
      const Op& op = opAt(j);
      for (int k = 0; k < op.inputCount; k++) {
        Action& action = plan_.backward[j].inputs[k];
        if (op.inputs[k] != tensor || action == Action::none) continue;
        if (action != Action::write) return false;
        action = Action::add;
        return true;
      }
    }
    return false;
  }

  void shareSum(size_t j, int k) {
    if (!attempt([&] { return share(j, k, Part::whole); })) {
      attempt([&] { return share(j, k, Part::whole) && addFromStart(opAt(j).outputs[0]); });
    }
  }

  // A slice pays only together with the slice of the other rows: alone, those would have to be cleared anyway.
  void shareSlices(size_t j) {
    const Op& op = opAt(j);
    if (plan_.backward[j].inputs[0] != Action::write) return;
    for (size_t other = j + 1; other < plan_.backward.size(); other++) {
      const Op& next = opAt(other);
      if (next.kind != OpKind::sliceRows || next.inputs[0] != op.inputs[0] || next.sideB == op.sideB) continue;
      attempt([&] {
        return share(j, 0, op.sideB ? Part::b : Part::a) && share(other, 0, next.sideB ? Part::b : Part::a);
      });
      return;
    }
  }

  void shareHalves(size_t j) {
    const auto both = [&] { return share(j, 0, Part::a) && share(j, 1, Part::b); };
    if (attempt(both)) return;
    if (attempt([&] { return both() && addFromStart(opAt(j).outputs[0]); })) return;
    attempt([&] { return share(j, 0, Part::a); });
    attempt([&] { return share(j, 1, Part::b); });
  }

  const Program& program_;
  const int32_t start_;
  Plan& plan_;
  // By tensor, and by storage: kSlots sums each.
  std::vector<Sum> expected_, content_;
};

}  // namespace

void placeGradients(const Program& program, const Gradients& gradients, int32_t start, Plan* plan) {
  GradientPlanner planner(program, gradients, start, plan);
  planner.shareMemory();
  planner.finish();
}

}  // namespace relic
