// Steps of the GPU engine that are queued, streamed, replayed or broken, on the emulator: nothing of this may change a
// byte of what plain steps make, nor lose what was good.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "check.h"
#include "cuda/context.h"
#include "cuda/device.h"
#include "cuda/rounding.h"
#include "cuda/step_graphs.h"
#include "cuda/streamed_rows.h"
#include "encoded_program.h"
#include "gpu_model.h"

namespace relic {
namespace {

// A device too small for the embeddings, not for the model: its 110 parameters take 1760 or 1980 bytes with moments, the
// embeddings 570 or 1140, and a quarter is kept for activations.
constexpr uint64_t kForParameters = 3000;

void prepare(GpuModel& model, int optimizer = kAdamW) {
  fill(model);
  const Words gradients = everyGradient();
  model.setOptimizer({optimizer, 0.999, kEps, 0.01}, gradients.data(), gradients.size(), false);
}

// Steps over both batches, of one shard and of two, of every kind.
struct Steps {
  std::vector<std::vector<ShardView>> shards;
  std::vector<StepView> views;
  size_t losses = 0;

  explicit Steps(uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
      shards.push_back({{(i % 3 == 1 ? kSecond : kFirst).view(), {1, 2}}});
      if (i % 4 == 2) shards.back().push_back({kSecond.view(), {3, 4}});
      losses += shards.back().size();
    }
    for (uint32_t i = 0; i < count; i++) {
      views.push_back({shards[i].data(), static_cast<int64_t>(shards[i].size()),
                       {i, 1e-3 * (i + 1), 0.9 - 0.01 * i, i % 5 == 3, 0.5, 2}});
    }
  }
};

struct Run {
  bool good = true;
  std::vector<double> losses;
  std::vector<std::vector<float>> states;
  std::vector<float> scores;
  int64_t replayed = 0;

  bool same(const Run& other) const {
    return good && other.good && losses == other.losses && states == other.states && scores == other.scores;
  }
};

// `together`: steps of a call.
Run run(const GpuModel::Options& options, const Steps& steps, size_t together, int optimizer = kAdamW) {
  Run result;
  GpuModel model(everyOp(), options);
  result.good = model.created.ok();
  if (!result.good) return result;
  prepare(model, optimizer);
  for (size_t from = 0; from < steps.views.size(); from += together) {
    const size_t count = std::min(together, steps.views.size() - from);
    std::vector<ShardLoss> losses(steps.losses);
    int64_t done = 0;
    const Status status = model.trainSteps(&steps.views[from], static_cast<int64_t>(count), losses.data(), &done);
    if (!status.ok()) std::printf("%s\n", status.message.c_str());
    result.good = result.good && status.ok() && done == static_cast<int64_t>(count);
    size_t shards = 0;
    for (size_t i = from; i < from + count; i++) shards += steps.shards[i].size();
    for (size_t i = 0; i < shards; i++) result.losses.push_back(losses[i].lossSum);
  }
  result.states = statesOf(model);
  result.scores.resize(2 * kFirst.labels.size());
  result.good = result.good && model.evaluate(kFirst.view(), result.scores.data(), &result.scores[5]).ok();
  result.replayed = model.replayedSteps();
  return result;
}

void queued(Checker& check) {
  const Steps steps(12);
  for (const int precision : {RELIC_CUDA_FLOAT32, RELIC_CUDA_BFLOAT16, RELIC_CUDA_FLOAT16}) {
    const std::string name = "precision " + std::to_string(precision) + ": ";
    const GpuModel::Options options{precision, RELIC_CUDA_FLOAT32, 0};
    const Run alone = run(options, steps, 1);
    check.isTrue(name + "steps in one call give the bytes of steps of their own", alone.same(run(options, steps, 12)));
    check.isTrue(name + "and so do calls of five", alone.same(run(options, steps, 5)));
    GpuModel::Options small = options;
    small.memoryLimit = kForParameters;
    check.isTrue(name + "streamed embeddings give the bytes of resident ones", alone.same(run(small, steps, 12)));
    check.isTrue(name + "one step a call as well", alone.same(run(small, steps, 1)));
  }
  const GpuModel::Options options;
  check.isTrue("SGD: steps in one call give the bytes of steps of their own",
               run(options, steps, 1, kSgd).same(run(options, steps, 12, kSgd)));
}

// Batches of one shape.
void replayed(Checker& check) {
  Steps steps(1);
  const ShardView shard{kFirst.view(), {1, 2}};
  const Batch swapped = {{0, 2, 4, 1, 3}, {3, 1, 0, 4, 3}, {0, 1, 1, 0, 0}};
  const ShardView other{swapped.view(), {1, 2}};
  steps.views.clear();
  for (uint32_t i = 0; i < 8; i++) {
    steps.views.push_back({i % 2 == 0 ? &shard : &other, 1, {i, 1e-3 * (i + 1), 0.9, false, 1, 1}});
  }
  steps.shards.assign(8, {shard});
  steps.losses = 8;
  const Run alone = run({RELIC_CUDA_FLOAT16, RELIC_CUDA_FLOAT32, 0}, steps, 8);
  // Memory still grew in the first step, so that the second one is the first of its kind.
  check.isTrue("steps of one shape are launched as a whole from the third on", alone.good && alone.replayed == 6);

  // The same steps with another shape in between, too many of them to be remembered: none is replayed.
  GpuModel plain(everyOp(), RELIC_CUDA_FLOAT16);
  prepare(plain);
  std::vector<double> losses;
  bool good = true;
  for (const StepView& step : steps.views) {
    ShardLoss loss;
    good = good && plain.trainStep(step.shards, 1, step.settings, &loss).ok();
    losses.push_back(loss.lossSum);
    // Forgets what is recorded, and changes nothing.
    const Words gradients = everyGradient();
    good = good && plain.setOptimizer({kAdamW, 0.999, kEps, 0.01}, gradients.data(), gradients.size(), true).ok();
  }
  check.isTrue("and give the bytes of steps that are not", good && plain.replayedSteps() == 0 &&
                                                               losses == alone.losses &&
                                                               statesOf(plain) == alone.states);
  const int64_t before = emulation::launches();
  run({}, steps, 8);
  const int64_t whole = emulation::launches() - before;
  check.isTrue("a replayed step is one launch", whole < 8 * 40);
}

void notFinite(Checker& check) {
  const Steps steps(6);
  GpuModel model(everyOp(), RELIC_CUDA_FLOAT32), truth(everyOp(), RELIC_CUDA_FLOAT32);
  prepare(model);
  prepare(truth);
  // Learning so fast that the third step meets numbers that are none.
  std::vector<StepView> wild = steps.views;
  wild[1].settings.lr = 1e38;
  std::vector<ShardLoss> losses(steps.losses), expected(steps.losses);
  int64_t done = 0, doneAlone = 0;
  const Status status = model.trainSteps(wild.data(), 6, losses.data(), &done);
  check.isTrue("a loss that is no number ends the steps", status.code == "RELIC_NOT_FINITE" && done == 2);
  const Status alone = truth.trainSteps(wild.data(), 2, expected.data(), &doneAlone);
  ShardLoss none[2];
  const Status third = truth.trainStep(wild[2].shards, 2, wild[2].settings, none);
  check.isTrue("losses before it are told", alone.ok() && losses[0].lossSum == expected[0].lossSum &&
                                                losses[1].lossSum == expected[1].lossSum);
  const auto same = [](const std::vector<std::vector<float>>& a, const std::vector<std::vector<float>>& b) {
    for (size_t i = 0; i < a.size(); i++) {
      if (std::memcmp(a[i].data(), b[i].data(), a[i].size() * sizeof(float)) != 0) return false;
    }
    return true;
  };
  check.isTrue("and the steps after it change nothing", !third.ok() && same(statesOf(model), statesOf(truth)));
}

void overflow(Checker& check) {
  // Scaled gradients exceed what 16 bits hold until the scale has fallen: on the device, within one call.
  const auto run = [&](size_t together, std::vector<std::vector<float>>* states) {
    GpuModel model(everyOp(), RELIC_CUDA_FLOAT16);
    fill(model, 30.0f);
    const Words gradients = everyGradient();
    model.setOptimizer({kAdamW, 0.999, 1e-8, 0}, gradients.data(), gradients.size(), false);
    const ShardView shard{kFirst.view(), {1, 2}};
    const std::vector<StepView> steps(40, {&shard, 1, {0, 1e-3, 0.9, false, 1, 1}});
    std::vector<ShardLoss> losses(40);
    int64_t done = 0;
    bool good = true;
    for (size_t from = 0; from < 40; from += together) {
      good = good && model.trainSteps(&steps[from], static_cast<int64_t>(together), losses.data(), &done).ok();
    }
    *states = statesOf(model);
    int64_t counted = -1;
    std::vector<float> first((*states)[0].size()), second(first.size());
    bool trained = false;
    model.readMoments(0, {first.data(), second.data(), &counted}, &trained);
    check.isTrue("skipped steps are not counted by the optimiser", counted + model.skippedSteps() == 40);
    return good && model.skippedSteps() > 0 && model.skippedSteps() < 40;
  };
  std::vector<std::vector<float>> alone, together;
  check.isTrue("the loss scale falls until steps count", run(1, &alone) && run(40, &together));
  check.isTrue("in one call as in many", alone == together);
}

void scoring(Checker& check) {
  const Steps steps(2);
  const Run wide = run({RELIC_CUDA_BFLOAT16, RELIC_CUDA_FLOAT32, 0}, steps, 2);
  const Run narrow = run({RELIC_CUDA_BFLOAT16, RELIC_CUDA_BFLOAT16, 0}, steps, 2);
  check.isTrue("16-bit scoring leaves training alone", wide.states == narrow.states && wide.losses == narrow.losses);
  double difference = 0, size = 0;
  for (size_t i = 0; i < wide.scores.size(); i++) {
    difference += std::pow(wide.scores[i] - narrow.scores[i], 2);
    size += std::pow(wide.scores[i], 2);
  }
  const double error = std::sqrt(difference / size);
  check.isTrue("and scores nearly the same, but not the very same", error > 0 && error < 2e-2);
  const GpuModel wrong(everyOp(), GpuModel::Options{RELIC_CUDA_FLOAT16, RELIC_CUDA_BFLOAT16, 0});
  check.isTrue("a third precision is refused", wrong.created.code == "RELIC_ENGINE_CALL");
}

void memory(Checker& check) {
  const GpuModel resident(everyOp(), RELIC_CUDA_FLOAT32), streamed(everyOp(), GpuModel::Options{0, 0, kForParameters});
  const std::string text = streamed.kernels();
  check.isTrue("the sum says that embeddings are sent", text.find("sent with every batch") != std::string::npos);
  check.isTrue("or that they stay", std::string(resident.kernels()).find("sent with every") == std::string::npos);
  const GpuModel none(everyOp(), GpuModel::Options{0, 0, 512});
  check.isTrue("a device too small for the parameters is refused with the sum",
               none.created.code == "RELIC_OUT_OF_MEMORY" &&
                   none.created.message.find("optimiser") != std::string::npos);
  GpuModel model(everyOp(), RELIC_CUDA_FLOAT32);
  prepare(model);
  const auto before = statesOf(model);
  emulation::limitMemory(1);
  ShardLoss loss;
  const ShardView shard{kFirst.view(), {1, 2}};
  const Status status = model.trainStep(&shard, 1, {0, 1e-3, 0.9, false, 1, 1}, &loss);
  emulation::limitMemory(size_t{1} << 30);
  check.isTrue("a batch too large tells what for, how much and what to change",
               status.code == "RELIC_OUT_OF_MEMORY" && status.message.find("it needs") != std::string::npos &&
                   status.message.find("batch_size") != std::string::npos);
  check.isTrue("and leaves the parameters alone", statesOf(model) == before);
  check.isTrue("so that a smaller one goes on", model.trainStep(&shard, 1, {0, 1e-3, 0.9, false, 1, 1}, &loss).ok());
}

// A device that breaks between two launches of a step, or of what waits for it.
void broken(Checker& check) {
  const Steps steps(4);
  for (const int64_t launches : {0, 1, 30, 90}) {
    GpuModel model(everyOp(), GpuModel::Options{RELIC_CUDA_BFLOAT16, 0, kForParameters});
    prepare(model);
    const std::vector<std::vector<float>> good = statesOf(model);
    emulation::injectFault(cudaErrorIllegalAddress, launches);
    std::vector<ShardLoss> losses(steps.losses);
    int64_t done = 0;
    const Status status = model.trainSteps(steps.views.data(), 4, losses.data(), &done);
    const std::string name = "broken after " + std::to_string(launches) + " launches: ";
    check.isTrue(name + "the steps fail", status.code == "RELIC_DEVICE_FAILED" && done == 0);
    check.isTrue(name + "with device and place", status.message.find("device 0") != std::string::npos &&
                                                     status.message.find("native/cuda/") != std::string::npos);
    // What a checkpoint would be made of: nothing is handed out that could overwrite a good one.
    std::vector<float> values(good[0].size());
    check.isTrue(name + "no state can be read", model.readState(0, values.data()).code == "RELIC_DEVICE_FAILED");
    check.isTrue(name + "nor does the next step work",
                 !model.trainSteps(steps.views.data(), 1, losses.data(), &done).ok() && done == 0);
    emulation::injectFault(cudaSuccess);
  }
}

// --- Planners on the host ------------------------------------------------------------------------

void packing(Checker& check) {
  Random random(5);
  bool apart = true, found = true, once = true;
  for (int round = 0; round < 50; round++) {
    std::vector<int32_t> lengths, wanted;
    for (int i = 0; i < 40; i++) lengths.push_back(static_cast<int32_t>(std::fabs(random.next(30))));
    for (int i = 0; i < 60; i++) wanted.push_back(static_cast<int32_t>(std::fabs(random.next(39.9f))));
    const int64_t dim = 1 + round % 7;
    cuda::RowPacking packing;
    packing.plan(wanted, lengths, dim);
    std::vector<int> owners(static_cast<size_t>(packing.elements), 0);
    for (size_t i = 0; i < packing.proteins.size(); i++) {
      once = once && (i == 0 || packing.proteins[i - 1] < packing.proteins[i]) && packing.offsets[i] % 8 == 0;
      const int64_t size = lengths[static_cast<size_t>(packing.proteins[i])] * dim;
      for (int64_t k = 0; k < size; k++) apart = apart && owners[static_cast<size_t>(packing.offsets[i] + k)]++ == 0;
    }
    for (const int32_t protein : wanted) {
      bool is = false;
      for (size_t i = 0; i < packing.proteins.size(); i++) {
        is = is || (packing.proteins[i] == protein && packing.offsets[i] == packing.offsetOf(protein));
      }
      found = found && is;
    }
  }
  check.isTrue("packing: no two proteins share an element", apart);
  check.isTrue("packing: every protein of the batch is found", found);
  check.isTrue("packing: each is there once, at a multiple of 16 bytes", once);
}

__global__ void addTo(int64_t* total, int64_t amount) { *total += amount; }

// Steps of random shapes against what a list of the eight shapes used last would do.
void records(Checker& check) {
  cuda::Context context;
  bool good = context.open(0).ok();
  cuda::Buffer buffer;
  good = good && buffer.fit(sizeof(int64_t), "a sum").ok();
  *buffer.as<int64_t>() = 0;
  cuda::StepGraphs graphs, refused;
  Random random(9);
  std::vector<int64_t> recent;
  std::vector<int64_t> seen(12, 0);
  int64_t expected = 0, replays = 0, wrong = 0;
  for (int step = 0; step < 400; step++) {
    const auto shape = static_cast<int64_t>(std::fabs(random.next(11.9f)));
    const auto place = std::find(recent.begin(), recent.end(), shape);
    const bool known = place != recent.end();
    if (known) recent.erase(place);
    if (!known && recent.size() == 8) recent.erase(recent.begin());
    recent.push_back(shape);
    int64_t& times = seen[static_cast<size_t>(shape)];
    times = known ? times + 1 : 0;
    bool called = false;
    const auto queue = [&]() -> Status {
      called = true;
      RELIC_CUDA_TRY(cuda::launch(addTo, 1, 1, 0, context.stream(), buffer.as<int64_t>(), shape + 1));
      return Status::success();
    };
    good = good && graphs.run(context, {shape, 7}, queue).ok();
    // The first step of a shape queues, and the second does to be recorded.
    wrong += called != (times < 2) ? 1 : 0;
    replays += times >= 1 ? 1 : 0;
    const auto waits = [&]() -> Status {
      RELIC_TRY(context.synchronize());
      return queue();
    };
    good = good && refused.run(context, {shape}, waits).ok();
    expected += 2 * (shape + 1);
  }
  good = good && context.synchronize().ok();
  check.isTrue("records: every step does its work once", good && *buffer.as<int64_t>() == expected);
  check.isTrue("records: the eight shapes used last are remembered", wrong == 0 && graphs.replays() == replays);
  check.isTrue("records: work that cannot be recorded is queued", refused.replays() == 0);
}

void rounding(Checker& check) {
  int64_t bfloats = 0, halves = 0;
  // Steps through all exponents and signs, and every pattern of the bits that are rounded away.
  for (uint64_t i = 0; i < 4000000; i++) {
    const auto bits = static_cast<uint32_t>(i * 1073 + (i << 20 & 0xfff00000u));
    float x;
    std::memcpy(&x, &bits, sizeof x);
    bfloats += cuda::bfloat16Of(x) != emulation::bfloat16Bits(x) ? 1 : 0;
    halves += cuda::halfOf(x) != emulation::halfBits(x) ? 1 : 0;
  }
  check.isTrue("bf16 is rounded on the host as on the device", bfloats == 0);
  check.isTrue("and so is fp16", halves == 0);
}

}  // namespace
}  // namespace relic

int main() {
  relic::Checker check;
  relic::packing(check);
  relic::records(check);
  relic::rounding(check);
  relic::queued(check);
  relic::replayed(check);
  relic::notFinite(check);
  relic::overflow(check);
  relic::scoring(check);
  relic::memory(check);
  relic::broken(check);
  return check.finish();
}
