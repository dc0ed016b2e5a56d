// The GPU engine, whole, against the CPU engine: forward, losses, gradients, steps with every dropout on, and scoring, in
// each precision. It runs on the CPU (cuda_emulation.h), or on a GPU when it is linked with the real library: the
// arguments are then where cuBLASLt may be.
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "check.h"
#include "cpu/model.h"
#include "cuda/relic_cuda.h"
#include "encoded_program.h"

namespace relic {
namespace {

constexpr int kAdamW = 0, kSgd = 1;
std::vector<const char*> cublasPaths;
constexpr int64_t kStoreDim = 3;
// Large enough that AdamW does not blow up the rounding of gradients that are zero, as those of key biases.
constexpr double kEps = 1e-4;
const std::vector<int32_t> kLengths = {3, 1, 17, 4, 70};

// Values that depend on where they are alone.
std::vector<float> waves(size_t count, size_t seed, float scale = 1) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; i++) values[i] = scale * std::sin(static_cast<float>(i * 7 + seed * 13 + 1));
  return values;
}

std::vector<float> storeRows() {
  size_t rows = 0;
  for (const int32_t length : kLengths) rows += static_cast<size_t>(length);
  return waves(rows * kStoreDim, 3);
}

struct Batch {
  std::vector<int32_t> a, b;
  std::vector<float> labels;
  BatchView view() const { return {static_cast<int64_t>(labels.size()), a.data(), b.data(), labels.data()}; }
};
const Batch kFirst = {{0, 2, 4, 1, 3}, {3, 1, 0, 4, 3}, {1, 0, 1, 0, 1}};
const Batch kSecond = {{2, 0}, {2, 4}, {0, 1}};

// The GPU's C interface as a Model, so that both engines run the same lines.
class GpuModel : public Model {
 public:
  GpuModel(const Words& program, int precision, float storeScale = 1) {
    static std::vector<float> rows;
    rows = storeRows();
    for (float& value : rows) value *= storeScale;
    RelicCudaModelOptions options{};
    options.program = program.data();
    options.program_words = program.size();
    options.store = {kStoreDim, static_cast<int64_t>(kLengths.size()), kLengths.data(), rows.data(),
                     [](void* context, int64_t index, float* out) {
                       size_t at = 0;
                       for (int64_t i = 0; i < index; i++) at += static_cast<size_t>(kLengths[i] * kStoreDim);
                       const auto count = static_cast<size_t>(kLengths[index] * kStoreDim);
                       std::copy_n(static_cast<const float*>(context) + at, count, out);
                     }};
    options.precision = precision;
    options.cublas_paths = cublasPaths.data();
    options.cublas_path_count = cublasPaths.size();
    created = status(relic_cuda_create(&options, &model_));
  }
  ~GpuModel() override { relic_cuda_destroy(model_); }

  int64_t stateCount() const override { return relic_cuda_state_count(model_); }
  int64_t stateLength(int64_t index) const override { return relic_cuda_state_length(model_, index); }
  Status writeState(int64_t index, const float* values) override {
    return status(relic_cuda_write_state(model_, index, values));
  }
  Status readState(int64_t index, float* values) const override {
    return status(relic_cuda_read_state(model_, index, values));
  }
  Status readGradient(int64_t index, float* values, bool* trained) const override {
    int32_t is = 0;
    Status result = status(relic_cuda_read_gradient(model_, index, values, &is));
    *trained = is != 0;
    return result;
  }
  Status readMoments(int64_t index, const Moments& out, bool* trained) const override {
    int32_t is = 0;
    Status result = status(relic_cuda_read_moments(model_, index, out.first, out.second, out.steps, &is));
    *trained = is != 0;
    return result;
  }
  Status writeMoments(int64_t index, const Moments& values, bool* trained) override {
    int32_t is = 0;
    Status result =
        status(relic_cuda_write_moments(model_, index, values.first, values.second, *values.steps, &is));
    *trained = is != 0;
    return result;
  }
  Status setOptimizer(const OptimizerSettings& s, const double* words, size_t count, bool keep) override {
    const RelicCudaOptimizer settings{s.type, s.beta2, s.eps, s.weightDecay};
    return status(relic_cuda_set_optimizer(model_, &settings, words, count, keep ? 1 : 0));
  }
  Status trainStep(const ShardView* shards, int64_t count, const StepSettings& s, ShardLoss* losses) override {
    std::vector<RelicCudaShard> views;
    for (int64_t i = 0; i < count; i++) {
      views.push_back({viewOf(shards[i].batch), {shards[i].key[0], shards[i].key[1]}});
    }
    const RelicCudaStep step{s.step, s.lr, s.momentum, s.hardExamples ? 1 : 0, s.keepRatio, s.minKeep};
    std::vector<RelicCudaShardLoss> results(views.size());
    Status result = status(relic_cuda_train_step(model_, views.data(), count, &step, results.data()));
    for (size_t i = 0; i < results.size(); i++) losses[i] = {results[i].loss_sum, results[i].kept};
    return result;
  }
  Status evaluate(const BatchView& batch, float* logits, float* losses) override {
    const RelicCudaBatch view = viewOf(batch);
    return status(relic_cuda_evaluate(model_, &view, logits, losses));
  }
  size_t memory() const override { return relic_cuda_memory(model_); }
  const char* kernels() const override { return relic_cuda_describe(model_); }
  int64_t skippedSteps() const { return relic_cuda_skipped_steps(model_); }

  Status created;

 private:
  static RelicCudaBatch viewOf(const BatchView& v) { return {v.pairs, v.proteinA, v.proteinB, v.labels}; }
  static Status status(int result) {
    if (result == 0) return Status::success();
    const char *code = "", *message = "";
    relic_cuda_last_error(&code, &message);
    return Status::failure(code, message);
  }

  RelicCudaModel* model_ = nullptr;
};

void fill(Model& model, float scale = 0.7f) {
  for (int64_t i = 0; i < model.stateCount(); i++) {
    // The running statistics of batch norm keep their initial values: these are no weights.
    const std::vector<float> values = waves(static_cast<size_t>(model.stateLength(i)), static_cast<size_t>(i), scale);
    if (i < 9 || i > 11) model.writeState(i, values.data());
  }
}

std::vector<std::vector<float>> statesOf(const Model& model) {
  std::vector<std::vector<float>> all;
  for (int64_t i = 0; i < model.stateCount(); i++) {
    all.emplace_back(static_cast<size_t>(model.stateLength(i)));
    model.readState(i, all.back().data());
  }
  return all;
}

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
