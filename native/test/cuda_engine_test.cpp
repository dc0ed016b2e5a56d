// The GPU engine, whole, against the CPU engine: forward, losses, gradients, steps with every dropout on, and scoring, in
// each precision. It runs on the CPU (cuda_emulation.h), or on a GPU when it is linked with the real library: the
// arguments are then where cuBLASLt may be.
#include <cmath>
#include <string>
#include <vector>

#include "check.h"
#include "cpu/model.h"
#include "encoded_program.h"
#include "gpu_model.h"

namespace relic {
namespace {

std::vector<std::vector<float>> gradientsOf(const Model& model) {
  std::vector<std::vector<float>> all;
  for (int64_t i = 0; i < model.stateCount(); i++) {
    std::vector<float> values(static_cast<size_t>(model.stateLength(i)));
    bool trained = false;
    model.readGradient(i, values.data(), &trained);
    if (trained) all.push_back(values);
  }
  return all;
}

// |a - b| / |b| over all values together.
double distance(const std::vector<std::vector<float>>& a, const std::vector<std::vector<float>>& b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < b.size(); i++) {
    for (size_t k = 0; k < b[i].size(); k++) {
      difference += std::pow(static_cast<double>(a[i][k]) - b[i][k], 2);
      size += std::pow(static_cast<double>(b[i][k]), 2);
    }
  }
  return std::sqrt(difference / size);
}

struct Result {
  std::vector<double> losses;
  std::vector<int64_t> kept;
  std::vector<std::vector<float>> gradients, states, scores;
  bool good = true;
};

// Three steps: one shard, hard examples, then two shards; scoring before and after.
Result run(Model& model, int optimizer) {
  Result result;
  const auto needs = [&](const Status& status) {
    if (!status.ok()) std::printf("%s: %s\n", status.code.c_str(), status.message.c_str());
    result.good = result.good && status.ok();
  };
  const auto score = [&](const Batch& batch) {
    const size_t pairs = batch.labels.size();
    std::vector<float> values(2 * pairs);
    needs(model.evaluate(batch.view(), values.data(), values.data() + pairs));
    result.scores.push_back(values);
  };
  fill(model);
  const Words gradients = everyGradient();
  needs(model.setOptimizer({optimizer, 0.999, kEps, 0.01}, gradients.data(), gradients.size(), false));
  score(kFirst);
  score(kSecond);
  const ShardView shards[] = {{kFirst.view(), {1, 2}}, {kSecond.view(), {3, 4}}};
  for (uint32_t step = 0; step < 3; step++) {
    ShardLoss losses[2] = {};
    const int64_t count = step == 2 ? 2 : 1;
    needs(model.trainStep(shards, count, {step, 1e-3, 0.9, step == 1, 0.5, 2}, losses));
    for (int64_t i = 0; i < count; i++) {
      result.losses.push_back(losses[i].lossSum);
      result.kept.push_back(losses[i].kept);
    }
    if (step == 0) result.gradients = gradientsOf(model);
  }
  result.states = statesOf(model);
  score(kFirst);
  return result;
}

struct Case {
  const char* name;
  int precision;
  // Of losses, relative; of gradients, states after three steps and scores, by norm.
  double loss, gradient, state, score;
};
// 16 bits: a handful of products of width 4, whose single roundings nothing averages out.
const Case kCases[] = {{"float32", RELIC_CUDA_FLOAT32, 1e-5, 1e-5, 1e-5, 1e-5},
                       {"bf16", RELIC_CUDA_BFLOAT16, 2e-2, 4e-2, 2e-3, 2e-3},
                       {"fp16", RELIC_CUDA_FLOAT16, 2e-3, 6e-3, 1e-3, 1e-3}};

void compare(Checker& check, const Case& each, int optimizer) {
  const Words program = everyOp();
  const std::string name = std::string(each.name) + (optimizer == kAdamW ? ", AdamW: " : ", SGD: ");
  std::unique_ptr<Model> cpu;
  Model::create(program.data(), program.size(), makeMemoryStore(kStoreDim, kLengths, storeRows()), {}, &cpu);
  const Result truth = run(*cpu, optimizer);
  GpuModel gpu(program, each.precision);
  check.isTrue(name + "the model is created", gpu.created.ok());
  if (!gpu.created.ok()) return;
  const Result actual = run(gpu, optimizer);
  check.isTrue(name + "every call succeeds", actual.good && truth.good);
  for (size_t i = 0; i < truth.losses.size(); i++) {
    const double error = std::fabs(actual.losses[i] - truth.losses[i]) / std::fabs(truth.losses[i]);
    if (!(error <= each.loss)) std::printf("loss %zu: %g, CPU %g\n", i, actual.losses[i], truth.losses[i]);
    check.isTrue(name + "loss " + std::to_string(i), error <= each.loss);
  }
  check.isTrue(name + "the same pairs are kept", actual.kept == truth.kept);
  const auto near = [&](const char* what, double error, double limit) {
    if (!(error <= limit)) std::printf("%s%s: off by %g\n", name.c_str(), what, error);
    check.isTrue(name + what, error <= limit);
  };
  near("gradients", distance(actual.gradients, truth.gradients), each.gradient);
  near("states after three steps", distance(actual.states, truth.states), each.state);
  near("scores", distance(actual.scores, truth.scores), each.score);
  GpuModel again(program, each.precision);
  check.isTrue(name + "a second run gives the same bytes", run(again, optimizer).states == actual.states);
}

void failures(Checker& check) {
  const Words program = everyOp(), gradients = everyGradient();
  ShardLoss loss;
  const ShardView shard{kFirst.view(), {1, 2}};
  const StepSettings settings{0, 1e-3, 0.9, false, 1, 1};
  {
    GpuModel model(program, RELIC_CUDA_FLOAT32);
    check.isTrue("a step needs an optimiser", model.trainStep(&shard, 1, settings, &loss).code == "RELIC_USAGE");
    fill(model);
    model.setOptimizer({kAdamW, 0.999, 1e-8, 0}, gradients.data(), gradients.size(), false);
    Batch outside = kSecond;
    outside.a[0] = 99;
    const ShardView wrong{outside.view(), {1, 2}};
    check.isTrue("a protein outside the store is refused",
                 model.trainStep(&wrong, 1, settings, &loss).code == "RELIC_BATCH_INVALID");
    const std::vector<float> notANumber(static_cast<size_t>(model.stateLength(0)), NAN);
    model.writeState(0, notANumber.data());
    const auto before = statesOf(model);
    check.isTrue("a loss that is no number is an error",
                 model.trainStep(&shard, 1, settings, &loss).code == "RELIC_NOT_FINITE");
    const auto after = statesOf(model);
    check.isTrue("and then no parameter changes", after[1] == before[1] && after[13] == before[13]);
  }
  {
    // Rows of 3e4 keep the loss finite, and its scaled gradients exceed what 16 bits hold.
    GpuModel model(program, RELIC_CUDA_FLOAT16);
    fill(model, 30.0f);
    model.setOptimizer({kAdamW, 0.999, 1e-8, 0}, gradients.data(), gradients.size(), false);
    const auto before = statesOf(model);
    const Status status = model.trainStep(&shard, 1, settings, &loss);
    check.isTrue("an overflow is no error", status.ok());
    const auto after = statesOf(model);
    check.isTrue("it is counted, and no parameter changes", model.skippedSteps() == 1 && after[0] == before[0] &&
                                                                after[13] == before[13]);
    for (int i = 0; i < 40; i++) model.trainStep(&shard, 1, settings, &loss);
    check.isTrue("the loss scale falls until steps count", statesOf(model)[0] != before[0]);
  }
  Words broken = program;
  broken[0] = 1;
  check.isTrue("another program is refused", GpuModel(broken, 0).created.code == "RELIC_PROGRAM_INVALID");
  check.isTrue("an unknown precision is refused", GpuModel(program, 7).created.code == "RELIC_ENGINE_CALL");
}

// A step after states and moments were moved to another model is the step that would have followed.
void resumes(Checker& check) {
  const Words program = everyOp(), gradients = everyGradient();
  const ShardView shard{kFirst.view(), {1, 2}};
  ShardLoss loss;
  const auto prepare = [&](GpuModel& model) {
    fill(model);
    model.setOptimizer({kAdamW, 0.999, kEps, 0.01}, gradients.data(), gradients.size(), false);
  };
  const auto step = [&](GpuModel& model, uint32_t number) {
    return model.trainStep(&shard, 1, {number, 1e-3, 0.9, false, 1, 1}, &loss).ok();
  };
  GpuModel first(program, RELIC_CUDA_BFLOAT16), second(program, RELIC_CUDA_BFLOAT16);
  prepare(first);
  prepare(second);
  bool good = step(first, 0);
  const auto states = statesOf(first);
  int moved = 0;
  for (int64_t i = 0; i < first.stateCount(); i++) {
    good = good && second.writeState(i, states[static_cast<size_t>(i)].data()).ok();
    std::vector<float> m(states[static_cast<size_t>(i)].size()), v(m.size());
    int64_t steps = 0;
    bool trained = false;
    good = good && first.readMoments(i, {m.data(), v.data(), &steps}, &trained).ok();
    if (!trained) continue;
    good = good && steps == 1 && second.writeMoments(i, {m.data(), v.data(), &steps}, &trained).ok() && trained;
    moved++;
  }
  good = good && step(first, 1) && step(second, 1);
  check.isTrue("moments of every trained parameter are moved", good && moved == 11);
  check.isTrue("and the next step gives the same bytes", statesOf(first) == statesOf(second));
}

}  // namespace
}  // namespace relic

int main(int argumentCount, char** arguments) {
  using namespace relic;
  cublasPaths.assign(arguments + 1, arguments + argumentCount);
  Checker check;
  if (const Status created = GpuModel(everyOp(), RELIC_CUDA_FLOAT32).created; !created.ok()) {
    check.isTrue(created.message, false);
    return check.finish();
  }
  for (const Case& each : kCases) {
    for (const int optimizer : {kAdamW, kSgd}) compare(check, each, optimizer);
  }
  failures(check);
  resumes(check);
  return check.finish();
}
