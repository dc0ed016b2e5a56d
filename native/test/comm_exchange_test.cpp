// Ranks that train together, as threads of this process: the same losses as one model with their shards, the same
// parameters on each to the bit, and a clean failure of all when one fails.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <chrono>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "comm/call_queue.h"
#include "comm/in_process.h"
#include "cpu/model.h"
#include "encoded_program.h"

namespace relic {
namespace {

using comm::BucketSizes;
using comm::CallQueue;
using comm::Fault;

constexpr int64_t kProteins = 6;
constexpr int64_t kPairsPerShard = 4;
constexpr int kStepsPerStage = 3;
// One bucket, one for each parameter, and a few.
constexpr BucketSizes kBucketSizes[] = {{size_t{1} << 30, size_t{1} << 30}, {1, 1}, {64, 256}};

// With a large epsilon: the gradient of the key bias is zero but for rounding, which AdamW would magnify.
constexpr OptimizerSettings kAdamW = {0, 0.999, 1e-3, 0.01};

std::shared_ptr<Store> proteins() {
  std::vector<int32_t> lengths = {2, 1, 4, 3, 5, 2};
  Random random(7);
  return makeMemoryStore(3, lengths, random.values(17 * 3));
}

struct OwnShard {
  std::vector<int32_t> a, b;
  std::vector<float> labels;
  uint32_t key[2];

  OwnShard(int rank, int step) : key{static_cast<uint32_t>(rank), 99} {
    for (int64_t i = 0; i < kPairsPerShard; i++) {
      a.push_back(static_cast<int32_t>((i + rank + step) % kProteins));
      b.push_back(static_cast<int32_t>((2 * i + 3 * rank + 1) % kProteins));
      labels.push_back(static_cast<float>((i + rank) % 2));
    }
  }
  ShardView view() const { return {{kPairsPerShard, a.data(), b.data(), labels.data()}, {key[0], key[1]}}; }
};

// A backward list that trains only the layers behind the encoder: what staged unfreezing begins with.
Words headGradient() {
  Words words = {kGradientsMagic, kEncodingVersion, 4};
  words.insert(words.end(), {18, 1, 0, 0});
  words.insert(words.end(), {17, 1, 0, 2, 0, 0});
  words.insert(words.end(), {16, 1, 0, 0});
  words.insert(words.end(), {15, 1, -1, 2, 0, 0});
  words.insert(words.end(), {4, 7, 8, 12, 13});
  return words;
}

const Words& program() {
  static const Words words = everyOp();
  return words;
}

std::unique_ptr<Model> makeModel(const Ranks& ranks, float shift = 0) {
  std::unique_ptr<Model> model;
  if (!Model::create(program().data(), program().size(), proteins(), {}, &model, ranks).ok()) return nullptr;
  Random random(11);
  for (int64_t i = 0; i < model->stateCount(); i++) {
    std::vector<float> values = random.values(model->stateLength(i), 0.5f);
    // Variances of batch norm are positive.
    for (float& value : values) value = std::fabs(value) + 0.1f + shift;
    model->writeState(i, values.data());
  }
  return model;
}

std::vector<float> stateOf(const Model& model) {
  std::vector<float> all;
  for (int64_t i = 0; i < model.stateCount(); i++) {
    std::vector<float> values(static_cast<size_t>(model.stateLength(i)));
    model.readState(i, values.data());
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

bool sameBytes(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

struct Outcome {
  Status status;
  std::vector<ShardLoss> losses;
  std::vector<float> state;
};

StepSettings settingsOf(int step, bool hardExamples) {
  return {static_cast<uint32_t>(step), 1e-2, 0.9, hardExamples, 0.5, 1};
}

// Trains the head, then everything with the state kept, on the shards that `shardsOf` gives for a step.
Outcome train(Model& model, bool hardExamples, const std::function<std::vector<OwnShard>(int)>& shardsOf) {
  Outcome outcome;
  const Words head = headGradient(), all = everyGradient();
  for (int step = 0; step < 2 * kStepsPerStage; step++) {
    if (step % kStepsPerStage == 0) {
      const Words& gradients = step == 0 ? head : all;
      outcome.status = model.setOptimizer(kAdamW, gradients.data(), gradients.size(), step > 0);
      if (!outcome.status.ok()) return outcome;
    }
    const std::vector<OwnShard> shards = shardsOf(step);
    std::vector<ShardView> views;
    for (const OwnShard& shard : shards) views.push_back(shard.view());
    std::vector<ShardLoss> losses(std::max(views.size(), static_cast<size_t>(model.rankCount())));
    outcome.status = model.trainStep(views.data(), static_cast<int64_t>(views.size()), settingsOf(step, hardExamples),
                                     losses.data());
    if (!outcome.status.ok()) return outcome;
    outcome.losses.insert(outcome.losses.end(), losses.begin(), losses.end());
  }
  outcome.state = stateOf(model);
  return outcome;
}

// Runs `body(rank, ranks)` on a thread for each rank.
void onRanks(int size, const BucketSizes& buckets, const std::vector<Fault>& faults,
             const std::function<void(int, const Ranks&)>& body, int64_t timeoutMs = 60000) {
  auto comms = comm::makeInProcessRanks(size, timeoutMs, faults);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; rank++) {
    threads.emplace_back([&, rank] {
      Ranks ranks{nullptr, buckets};
      auto own = std::make_shared<std::unique_ptr<comm::Comm>>(std::move(comms[static_cast<size_t>(rank)]));
      const auto open = [own](std::unique_ptr<comm::Comm>* out) {
        *out = std::move(*own);
        return Status::success();
      };
      if (!CallQueue::start(open, [](const Status&) {}, &ranks.queue).ok()) return;
      ranks.queue->run([](comm::Comm&) { return Status::success(); });
      body(rank, ranks);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

std::vector<Outcome> trainRanks(int size, bool hardExamples, const BucketSizes& buckets,
                                const std::vector<Fault>& faults = {}, int64_t timeoutMs = 60000) {
  std::vector<Outcome> outcomes(static_cast<size_t>(size));
  onRanks(
      size, buckets, faults,
      [&](int rank, const Ranks& ranks) {
        const auto model = makeModel(ranks);
        outcomes[static_cast<size_t>(rank)] =
            train(*model, hardExamples, [rank](int step) { return std::vector<OwnShard>{{rank, step}}; });
      },
      timeoutMs);
  return outcomes;
}

void agreesWithOneModel(Checker& check, int size, bool hardExamples) {
  const auto alone = makeModel({});
  const Outcome truth = train(*alone, hardExamples, [size](int step) {
    std::vector<OwnShard> shards;
    for (int rank = 0; rank < size; rank++) shards.emplace_back(rank, step);
    return shards;
  });
  std::vector<double> expected;
  for (const ShardLoss& loss : truth.losses) expected.push_back(loss.lossSum);
  for (const BucketSizes& buckets : kBucketSizes) {
    const std::string name = std::to_string(size) + " ranks, buckets of " + std::to_string(buckets.first) +
                             (hardExamples ? ", hard examples" : "");
    const auto outcomes = trainRanks(size, hardExamples, buckets);
    for (const Outcome& outcome : outcomes) {
      check.isTrue(name + ": trained" + outcome.status.message, outcome.status.ok());
      std::vector<float> losses;
      bool kept = outcome.losses.size() == truth.losses.size();
      for (size_t i = 0; kept && i < outcome.losses.size(); i++) kept = outcome.losses[i].kept == truth.losses[i].kept;
      for (const ShardLoss& loss : outcome.losses) losses.push_back(static_cast<float>(loss.lossSum));
      check.close(name + ": losses", losses, expected, 1e-5);
      check.isTrue(name + ": kept pairs", kept);
    }
    // Buffers of batch norm follow rank 0's shard alone; all else is the same everywhere.
    const auto parameters = [](std::vector<float> state) {
      // States 9 to 11 of everyOp: two of width 4 and a count.
      const std::ptrdiff_t end = static_cast<std::ptrdiff_t>(state.size()) - 5;
      state.erase(state.begin() + end - 9, state.begin() + end);
      return state;
    };
    for (const Outcome& outcome : outcomes) {
      check.isTrue(name + ": parameters", sameBytes(parameters(outcome.state), parameters(outcomes[0].state)));
    }
    check.close(name + ": near the one model", outcomes[0].state, {truth.state.begin(), truth.state.end()}, 1e-5);
  }
}

void faultsEndAll(Checker& check) {
  const int64_t shortly = 300;
  for (const int64_t call : {0, 1, 2, 7, 20}) {
    for (const Fault::Kind kind : {Fault::Kind::drop, Fault::Kind::hang}) {
      const Fault fault{kind, 1, call, 0};
      std::vector<Outcome> outcomes(3);
      onRanks(
          3, kBucketSizes[1], {fault},
          [&](int rank, const Ranks& ranks) {
            const auto model = makeModel(ranks);
            // What a watchdog does to a rank that hangs.
            std::thread watchdog([&, queue = ranks.queue] {
              if (rank != 1 || kind != Fault::Kind::hang) return;
              std::this_thread::sleep_for(std::chrono::milliseconds(2 * shortly));
              queue->cancel();
            });
            outcomes[static_cast<size_t>(rank)] =
                train(*model, false, [rank](int step) { return std::vector<OwnShard>{{rank, step}}; });
            watchdog.join();
          },
          shortly);
      for (size_t rank = 0; rank < outcomes.size(); rank++) {
        const Status& status = outcomes[rank].status;
        const std::string name = "rank " + std::to_string(rank) + (kind == Fault::Kind::drop ? ", drop" : ", hang") +
                                 " at call " + std::to_string(call);
        check.isTrue(name + " fails: " + status.message, status.code == "RELIC_RANKS");
        const bool names = status.message.find("rank 1") != std::string::npos;
        check.isTrue(name + " names rank 1: " + status.message, names || rank == 1);
      }
    }
  }
  const std::vector<Fault> delays = {{Fault::Kind::delay, 1, 3, 50}, {Fault::Kind::delay, 0, 9, 50}};
  const auto late = trainRanks(2, false, kBucketSizes[2], delays);
  const auto punctual = trainRanks(2, false, kBucketSizes[2]);
  check.isTrue("a late rank changes nothing", late[0].status.ok() && sameBytes(late[0].state, punctual[0].state));
}

// The loss of rank 1 is not a number: all fail alike, and nothing has changed.
void notFinite(Checker& check) {
  onRanks(3, kBucketSizes[2], {}, [&](int rank, const Ranks& ranks) {
    const auto model = makeModel(ranks);
    const Words gradients = everyGradient();
    model->setOptimizer(kAdamW, gradients.data(), gradients.size(), false);
    OwnShard shard(rank, 0);
    if (rank == 1) shard.labels[0] = std::numeric_limits<float>::quiet_NaN();
    const std::vector<float> before = stateOf(*model);
    ShardLoss losses[3];
    const ShardView view = shard.view();
    const Status status = model->trainStep(&view, 1, settingsOf(0, false), losses);
    const bool named = status.code == "RELIC_NOT_FINITE" && status.message.find("rank 1") != std::string::npos;
    std::vector<float> after = stateOf(*model);
    // The buffers have seen the batch, as on one process.
    const bool same = std::equal(before.begin(), before.begin() + 40, after.begin());
    const OwnShard good(rank, 1);
    const ShardView next = good.view();
    const bool goesOn = model->trainStep(&next, 1, settingsOf(1, false), losses).ok();
    static std::mutex mutex;
    const std::lock_guard<std::mutex> lock(mutex);
    check.isTrue("a loss that is not a number fails rank " + std::to_string(rank) + ": " + status.message, named);
    check.isTrue("and changes no parameter", same);
    check.isTrue("and the next step is taken", goesOn);
  });
}

// Ranks that do not train the same thing say so before gradients meet.
void disagreement(Checker& check) {
  for (const bool inSettings : {false, true}) {
    onRanks(3, kBucketSizes[2], {}, [&](int rank, const Ranks& ranks) {
      const auto model = makeModel(ranks);
      const Words gradients = rank == 2 && !inSettings ? headGradient() : everyGradient();
      model->setOptimizer(kAdamW, gradients.data(), gradients.size(), false);
      const OwnShard shard(rank, 0);
      const ShardView view = shard.view();
      ShardLoss losses[3];
      const Status status = model->trainStep(&view, 1, settingsOf(rank == 2 && inSettings ? 1 : 0, false), losses);
      const bool named = status.code == "RELIC_RANKS" && status.message.find("rank 2 differs") != std::string::npos;
      static std::mutex mutex;
      const std::lock_guard<std::mutex> lock(mutex);
      check.isTrue("a rank that trains something else is named: " + status.message, named);
    });
  }
}

// All take over what rank 0 has; a stop that one rank was asked for is seen by all.
void synchronizes(Checker& check) {
  std::vector<std::vector<float>> states(3), moments(3);
  // Not of bool, whose neighbours share a byte.
  std::vector<char> counted(3), oneStopped(3);
  std::vector<int64_t> steps(3);
  onRanks(3, kBucketSizes[0], {}, [&](int rank, const Ranks& ranks) {
    const auto at = static_cast<size_t>(rank);
    const auto model = makeModel(ranks, 0.01f * static_cast<float>(rank));
    const Words gradients = everyGradient();
    model->setOptimizer(kAdamW, gradients.data(), gradients.size(), false);
    std::vector<float> first(static_cast<size_t>(model->stateLength(0)), static_cast<float>(rank + 1)), second = first;
    int64_t count = 5 + rank;
    bool trained = false;
    model->writeMoments(0, {first.data(), second.data(), &count}, &trained);
    if (!model->synchronize(Synchronized::everything).ok()) return;
    OwnShard shard(rank, 0);
    const ShardView view = shard.view();
    ShardLoss losses[3];
    StepSettings settings = settingsOf(0, false);
    settings.stop = rank == 2;
    model->trainStep(&view, 1, settings, losses);
    oneStopped[at] = !losses[0].stop && !losses[1].stop && losses[2].stop;
    if (!model->synchronize(Synchronized::buffers).ok()) return;
    states[at] = stateOf(*model);
    model->readMoments(0, {first.data(), second.data(), &steps[at]}, &trained);
    moments[at] = first;
    counted[at] = model->collectiveSeconds().total > 0;
  });
  for (size_t rank = 0; rank < 3; rank++) {
    check.isTrue("states are those of rank 0", !states[rank].empty() && sameBytes(states[rank], states[0]));
    check.isTrue("moments are those of rank 0", sameBytes(moments[rank], moments[0]) && steps[rank] == 6);
    check.isTrue("time in collectives is counted", counted[rank] != 0);
    check.isTrue("every rank sees who was asked to stop", oneStopped[rank] != 0);
  }
}

void misuse(Checker& check) {
  onRanks(1, kBucketSizes[0], {}, [&](int, const Ranks& ranks) {
    const auto model = makeModel(ranks);
    const Words gradients = everyGradient();
    const OwnShard shard(0, 0);
    const ShardView views[] = {shard.view(), shard.view()};
    ShardLoss losses[2];
    check.isTrue("no optimizer", model->trainStep(views, 1, settingsOf(0, false), losses).code == "RELIC_USAGE");
    model->setOptimizer(kAdamW, gradients.data(), gradients.size(), false);
    check.isTrue("two shards", model->trainStep(views, 2, settingsOf(0, false), losses).code == "RELIC_USAGE");
    ranks.queue->close([](const Status&) {});
    check.isTrue("closed", model->trainStep(views, 1, settingsOf(0, false), losses).code == "RELIC_RANKS");
  });
}

void buckets(Checker& check) {
  const std::vector<comm::GradientRange> parameters = {{0, 16, 9}, {16, 32, 4}, {48, 16, 7}, {64, 48, 2}, {112, 16, 3}};
  const auto made = comm::makeBuckets(parameters, {64, 200});
  const auto is = [&](size_t i, size_t offset, size_t length, int32_t ready) {
    return made[i].offset == offset && made[i].length == length && made[i].readyAfter == ready;
  };
  check.isTrue("three buckets", made.size() == 3);
  check.isTrue("the first is small", is(0, 112, 16, 3));
  check.isTrue("a bucket is ready with the last of its parameters", is(1, 48, 64, 7));
  check.isTrue("the rest is the last", is(2, 0, 48, 9));
  check.isTrue("nothing trained, no bucket", comm::makeBuckets({}, {}).empty());
}

}  // namespace
}  // namespace relic

int main() {
  using namespace relic;
  Checker check;
  for (const int size : {1, 2, 3, 4}) {
    for (const bool hardExamples : {false, true}) agreesWithOneModel(check, size, hardExamples);
  }
  faultsEndAll(check);
  notFinite(check);
  disagreement(check);
  synchronizes(check);
  misuse(check);
  buckets(check);
  return check.finish();
}
