// Where a plan puts tensors: nothing that lives at the same time overlaps, and what can share memory does. That the
// sharing leaves every sum as it was, the engine tests see (with RELIC_POISON defined, also what is read too late).
#include <vector>

#include "check.h"
#include "cpu/plan.h"
#include "encoded_program.h"
#include "relic/program.h"

namespace relic {
namespace {

bool livesApart(const Plan& plan) {
  for (size_t i = 0; i < plan.storages.size(); i++) {
    for (size_t j = 0; j < i; j++) {
      const Storage &a = plan.storages[i], &b = plan.storages[j];
      if (a.buffer < 0 || a.buffer != b.buffer) continue;
      if (a.first <= b.last && b.first <= a.last) return false;
    }
  }
  return true;
}

bool fitsBuffers(const Plan& plan) {
  for (const Storage& storage : plan.storages) {
    if (storage.first > storage.last) continue;
    if (storage.buffer < 0) return false;
    const Plan::Buffer& buffer = plan.buffers[static_cast<size_t>(storage.buffer)];
    if (buffer.rows != storage.rows || buffer.cols < storage.cols) return false;
  }
  return true;
}

// Every tensor has a storage of its own rows and width, or the part of a storage that its rows say.
bool tensorsFit(const Program& program, const Plan& plan, const std::vector<Place>& places) {
  for (size_t i = 0; i < places.size(); i++) {
    if (places[i].storage < 0) continue;
    const TensorSpec& tensor = program.tensors[i];
    const Storage& storage = plan.storages[static_cast<size_t>(places[i].storage)];
    const int32_t partRows = places[i].part == Part::a ? kTokensA : kTokensB;
    const bool whole = places[i].part == Part::whole;
    if (storage.cols != tensor.cols) return false;
    if (whole ? storage.rows != tensor.rows : storage.rows != kTokens || tensor.rows != partRows) return false;
  }
  return true;
}

void holds(Checker& check, const std::string& name, const Program& program, const Plan& plan) {
  check.isTrue(name + ": no buffer holds two lives at once", livesApart(plan));
  check.isTrue(name + ": storages fit their buffers", fitsBuffers(plan));
  check.isTrue(name + ": values fit their storages", tensorsFit(program, plan, plan.values));
  check.isTrue(name + ": gradients fit their storages", tensorsFit(program, plan, plan.gradients));
}

size_t floats(const Plan& plan) {
  Layout layout;
  layout.pairs = 2;
  layout.tokensA = 100;
  layout.tokensB = 60;
  layout.tokens = 160;
  std::vector<size_t> offsets;
  return plan.place(layout, &offsets);
}

// Whether a term of a sum has its gradient where the sum has its own.
bool sharesSum(const Program& program, const Plan& plan) {
  for (const BackwardStep& step : plan.backward) {
    const Op& op = program.training[static_cast<size_t>(step.op)];
    if (op.kind == OpKind::add && (step.inputs[0] == Action::shared || step.inputs[1] == Action::shared)) return true;
  }
  return false;
}

}  // namespace
}  // namespace relic

int main() {
  using namespace relic;
  Checker check;
  const Words words = everyOp(), list = everyGradient();
  Program program;
  Gradients gradients;
  if (!decodeProgram(words.data(), words.size(), &program).ok() ||
      !decodeGradients(list.data(), list.size(), program, &gradients).ok()) {
    check.isTrue("the program is decoded", false);
    return check.finish();
  }
  const auto ops = static_cast<int32_t>(program.scoring.size());
  const Plan training = planTraining(program, gradients);
  const Plan scoring = planScoring(program, 0, ops, -1, {program.scoringLogits, program.lossPerPair});
  const Plan encoding = planScoring(program, 0, program.prefixOps, -1, {program.prefixOutput});
  const Plan rest = planScoring(program, program.prefixOps, ops, program.prefixOutput,
                                {program.scoringLogits, program.lossPerPair});
  holds(check, "training", program, training);
  holds(check, "scoring", program, scoring);
  holds(check, "encoding", program, encoding);
  holds(check, "the rest of scoring", program, rest);
  check.isTrue("scoring keeps less than training", floats(scoring) < floats(training) / 2);
  check.isTrue("a plan without a prefix needs no less than its parts", floats(rest) <= floats(scoring));

  const Op& slice = program.training[8];
  const auto at = [](const std::vector<Place>& places, int32_t tensor) { return places[static_cast<size_t>(tensor)]; };
  const Place a = at(training.values, slice.outputs[0]), x = at(training.values, slice.inputs[0]);
  check.isTrue("a row slice lies on its input", a.storage == x.storage && a.part == Part::a);
  check.isTrue("and so does its gradient", at(training.gradients, slice.outputs[0]).storage ==
                                               at(training.gradients, slice.inputs[0]).storage);
  const Op& concat = program.training[12];
  for (int k = 0; k < 2; k++) {
    const Place half = at(training.values, concat.inputs[k]);
    const Place both = at(training.values, concat.outputs[0]);
    check.isTrue("a concatenation's halves are written where it needs them",
                 half.storage == both.storage && half.part == (k == 0 ? Part::a : Part::b));
    check.isTrue("and so are their gradients", at(training.gradients, concat.inputs[k]).storage ==
                                                   at(training.gradients, concat.outputs[0]).storage);
  }
  check.isTrue("a sum gives its gradient to a term without a copy", sharesSum(program, training));
  return check.finish();
}
