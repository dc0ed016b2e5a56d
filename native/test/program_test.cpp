// Broken encodings are refused, and whatever is accepted runs within its buffers (run this with a sanitiser): every
// word of a program that uses every op is changed in turn.
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "check.h"
#include "cpu/model.h"
#include "encoded_program.h"
#include "relic/program.h"

namespace relic {
namespace {

// Whether the two encodings are accepted; a model that is accepted takes a step and scores.
bool runs(const Words& program, const Words& gradients) {
  static const std::shared_ptr<Store> store = makeMemoryStore(3, {2, 1, 4}, std::vector<float>(7 * 3, 0.5f));
  std::unique_ptr<Model> model;
  CpuOptions options;
  options.threads = 2;
  if (!Model::create(program.data(), program.size(), store, options, &model).ok()) return false;
  for (int64_t i = 0; i < model->stateCount(); i++) {
    std::vector<float> values(static_cast<size_t>(model->stateLength(i)));
    for (size_t k = 0; k < values.size(); k++) values[k] = std::sin(static_cast<float>(k + 1));
    model->writeState(i, values.data());
  }
  const int32_t a[] = {0, 2}, b[] = {1, 2};
  const float labels[] = {1, 0};
  const BatchView batch{2, a, b, labels};
  const ShardView shard{batch, {1, 2}};
  ShardLoss loss;
  float logits[2], losses[2];
  if (!model->evaluate(batch, logits, losses).ok()) return false;
  if (!model->setOptimizer({0, 0.999, 1e-8, 0}, gradients.data(), gradients.size(), false).ok()) return false;
  // Changed numbers may well overflow: that is a status too.
  model->trainStep(&shard, 1, {0, 1e-3, 0.9, false, 1, 1}, &loss);
  return model->evaluate(batch, logits, losses).ok();
}

void changeEveryWord(Checker& check, const Words& program, const Words& gradients) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto changedRuns = [&](const Words& original, const Words& changed) {
    return &original == &program ? runs(changed, gradients) : runs(program, changed);
  };
  for (const Words* original : {&program, &gradients}) {
    bool cutsRefused = true;
    for (size_t i = 0; i < original->size(); i++) {
      const double word = (*original)[i];
      Words changed = *original;
      for (const double value : {nan, -1.0, -4.0, 0.5, 0.0, 1.0, 2.0, 5.0, 17.0, 1e300, word + 1, word - 1}) {
        changed[i] = value;
        changedRuns(*original, changed);
      }
      const Words cut(original->begin(), original->begin() + static_cast<std::ptrdiff_t>(i));
      cutsRefused = cutsRefused && !changedRuns(*original, cut);
    }
    check.isTrue("an encoding that ends too early is refused", cutsRefused);
    Words longer = *original;
    longer.push_back(0);
    check.isTrue("words behind the end are refused", !changedRuns(*original, longer));
  }
}

}  // namespace
}  // namespace relic

int main() {
  using namespace relic;
  Checker check;
  const Words program = everyOp(), gradients = everyGradient();
  Program decoded;
  Gradients list;
  check.isTrue("the program is decoded", decodeProgram(program.data(), program.size(), &decoded).ok());
  const Status listed = decodeGradients(gradients.data(), gradients.size(), decoded, &list);
  check.isTrue("its backward list is decoded", listed.ok());
  check.isTrue("with every op", decoded.training.size() == 19 && list.ops.size() == 18);
  check.isTrue("and runs", runs(program, gradients));
  for (const size_t word : {0, 1}) {
    Words other = program, otherList = gradients;
    other[word]++;
    otherList[word]++;
    check.isTrue("another format is refused", !runs(other, gradients) && !runs(program, otherList));
  }
  changeEveryWord(check, program, gradients);
  return check.finish();
}
