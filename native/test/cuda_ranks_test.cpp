// Ranks of the GPU engine, each a thread with a model of its own, over a small NCCL on the emulator: they must train as one
// model with as many shards does, tell each other of losses that are no numbers, and not wait for a rank that never comes.
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <thread>

#include "check.h"
#include "comm/progress.h"
#include "cuda/device.h"
#include "gpu_model.h"

namespace relic {
namespace {

constexpr int64_t kTimeoutMs = 20000;
const char* const kNccl = RELIC_NCCL_PATH;

void prepare(GpuModel& model) {
  fill(model);
  const Words gradients = everyGradient();
  model.setOptimizer({kAdamW, 0.999, kEps, 0.01}, gradients.data(), gradients.size(), false);
}

// One rank: what its thread works with.
struct Rank {
  int rank;
  RelicCudaComm* comm;
  GpuModel* model;
  Status status;
  std::vector<ShardLoss> losses;
};

Status open(int rank, int size, const uint8_t* id, int64_t timeoutMs, RelicCudaComm** comm) {
  RelicCudaCommOptions options{};
  options.rank = rank;
  options.size = size;
  options.id = id;
  options.nccl_paths = &kNccl;
  options.nccl_path_count = 1;
  options.timeout_ms = timeoutMs;
  return GpuModel::status(relic_cuda_comm_open(&options, comm));
}

// Runs `work` for every rank, each on a thread of its own with a model that is ready to train.
std::vector<Rank> together(int size, GpuModel::Options options, int64_t timeoutMs,
                           const std::function<void(Rank&)>& work) {
  uint8_t id[RELIC_CUDA_ID_BYTES];
  std::vector<Rank> ranks(static_cast<size_t>(size));
  const Status made = GpuModel::status(relic_cuda_nccl_id(&kNccl, 1, id));
  // Every pair of streams comes in turn that works at once or as late as it may: see cuda_emulation_streams.cpp.
  static int shift = 2;
  shift++;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; rank++) {
    threads.emplace_back([&, rank] {
      for (int i = 0; i < shift % 8; i++) {
        cudaStream_t stream = nullptr;
        cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
        cudaStreamDestroy(stream);
      }
      Rank& own = ranks[static_cast<size_t>(rank)];
      own = {rank, nullptr, nullptr, made, std::vector<ShardLoss>(static_cast<size_t>(size))};
      if (own.status.ok()) own.status = open(rank, size, id, timeoutMs, &own.comm);
      if (!own.status.ok()) return;
      GpuModel::Options mine = options;
      mine.comm = own.comm;
      {
        GpuModel model(everyOp(), mine);
        own.status = model.created;
        own.model = &model;
        if (own.status.ok()) {
          prepare(model);
          work(own);
        }
      }
      relic_cuda_comm_destroy(own.comm);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return ranks;
}

const Batch kThird = {{4, 0, 1}, {2, 2, 3}, {1, 1, 0}};
const Batch* const kBatches[] = {&kFirst, &kSecond, &kThird};

ShardView shardOf(int rank, uint32_t step) {
  return {kBatches[(static_cast<uint32_t>(rank) + step) % 3]->view(), {1 + static_cast<uint32_t>(rank), 7}};
}

StepSettings settingsOf(uint32_t step) { return {step, 1e-3 * (step + 1), 0.9, step % 3 == 2, 0.5, 2}; }

constexpr uint32_t kSteps = 6;

void trains(Checker& check) {
  for (const int precision : {RELIC_CUDA_FLOAT32, RELIC_CUDA_BFLOAT16, RELIC_CUDA_FLOAT16}) {
    for (const int size : {1, 2, 3}) {
      if (precision != RELIC_CUDA_FLOAT32 && size != 2) continue;
      const std::string name = "precision " + std::to_string(precision) + ", " + std::to_string(size) + " ranks: ";
      GpuModel one(everyOp(), precision);
      prepare(one);
      std::vector<float> losses;
      for (uint32_t step = 0; step < kSteps; step++) {
        std::vector<ShardView> shards;
        for (int rank = 0; rank < size; rank++) shards.push_back(shardOf(rank, step));
        std::vector<ShardLoss> own(shards.size());
        one.trainStep(shards.data(), size, settingsOf(step), own.data());
        for (const ShardLoss& each : own) losses.push_back(static_cast<float>(each.lossSum));
      }
      std::vector<std::vector<double>> seen(static_cast<size_t>(size));
      std::vector<std::vector<std::vector<float>>> states(static_cast<size_t>(size));
      std::vector<std::vector<float>> gradients(static_cast<size_t>(size), std::vector<float>(12));
      bool stops = true, kept = true;
      const auto ranks = together(size, {precision}, kTimeoutMs, [&](Rank& own) {
        const auto at = static_cast<size_t>(own.rank);
        // What rank 0 has is what all have.
        if (own.rank > 0) fill(*own.model, 0.1f);
        own.status = own.model->synchronize(Synchronized::everything);
        for (uint32_t step = 0; step < kSteps && own.status.ok(); step++) {
          const ShardView shard = shardOf(own.rank, step);
          StepSettings settings = settingsOf(step);
          settings.stop = own.rank == 1 && step == 3;
          own.status = own.model->trainStep(&shard, 1, settings, own.losses.data());
          for (int rank = 0; rank < size; rank++) {
            const ShardLoss& loss = own.losses[static_cast<size_t>(rank)];
            seen[at].push_back(loss.lossSum);
            stops = stops && loss.stop == (rank == 1 && step == 3);
            kept = kept && loss.kept <= shardOf(rank, step).batch.pairs && loss.kept > 0;
          }
        }
        bool trained = false;
        own.model->readGradient(0, gradients[at].data(), &trained);
        if (own.status.ok()) own.status = own.model->synchronize(Synchronized::buffers);
        states[at] = statesOf(*own.model);
      });
      bool good = true, equal = true;
      for (size_t rank = 0; rank < ranks.size(); rank++) {
        good = good && ranks[rank].status.ok();
        equal = equal && states[rank] == states[0] && seen[rank] == seen[0];
      }
      check.isTrue(name + "they train", good);
      check.isTrue(name + "states and losses are the same bytes on each", equal);
      check.isTrue(name + "each sees who was asked to stop", stops && kept);
      // Sums of 16-bit gradients round elsewhere.
      const double tolerance = precision == RELIC_CUDA_FLOAT32 ? 1e-5 : 1e-3;
      check.close(name + "losses are those of one model with as many shards", losses, seen[0], tolerance, tolerance);
      const auto expected = statesOf(one);
      for (size_t i = 0; i < expected.size(); i++) {
        check.close(name + "state " + std::to_string(i), states[0][i], {expected[i].begin(), expected[i].end()},
                    tolerance, tolerance);
      }
      std::vector<float> gradient(12);
      bool trained = false;
      one.readGradient(0, gradient.data(), &trained);
      check.close(name + "the gradient is that of the mean", gradients[0], {gradient.begin(), gradient.end()}, tolerance,
                  tolerance);
    }
  }
}

void notFinite(Checker& check) {
  std::vector<std::vector<std::vector<float>>> before(3), after(3);
  const auto ranks = together(3, {RELIC_CUDA_BFLOAT16}, kTimeoutMs, [&](Rank& own) {
    Batch batch = kFirst;
    if (own.rank == 1) batch.labels[2] = std::numeric_limits<float>::quiet_NaN();
    const auto at = static_cast<size_t>(own.rank);
    const ShardView good = shardOf(own.rank, 0), bad{batch.view(), {1, 2}};
    own.status = own.model->trainStep(&good, 1, settingsOf(0), own.losses.data());
    if (!own.status.ok()) return;
    before[at] = statesOf(*own.model);
    own.status = own.model->trainStep(&bad, 1, settingsOf(1), own.losses.data());
    after[at] = statesOf(*own.model);
    if (own.status.code == "RELIC_NOT_FINITE" && own.model->trainStep(&good, 1, settingsOf(2), own.losses.data()).ok()) {
      return;
    }
    own.status = Status::failure("RELIC_RANKS", "the step after it failed");
  });
  for (const Rank& each : ranks) {
    check.isTrue("a loss that is no number fails the step on rank " + std::to_string(each.rank),
                 each.status.code == "RELIC_NOT_FINITE" &&
                     each.status.message.find("of rank 1") != std::string::npos);
  }
  bool same = true;
  for (size_t rank = 0; rank < 3; rank++) {
    for (size_t i = 0; i < before[rank].size(); i++) {
      // Running statistics of batch norm, on rank 0.
      if (i < 9 || i > 11) same = same && before[rank][i] == after[rank][i];
    }
  }
  check.isTrue("and changes no parameter anywhere", same && !before[2].empty());
}

// Gradients that overflow on one rank alone: embeddings are the same, so its labels' weight makes them so.
void overflow(Checker& check) {
  std::vector<std::vector<std::vector<float>>> before(2), after(2);
  int64_t skipped[2] = {};
  const auto ranks = together(2, {RELIC_CUDA_FLOAT16}, kTimeoutMs, [&](Rank& own) {
    Batch batch = kFirst;
    // A label far off has a slope far off.
    if (own.rank == 1) batch.labels.assign(5, 1e6f);
    const ShardView shard{batch.view(), {1, 2}};
    const auto at = static_cast<size_t>(own.rank);
    before[at] = statesOf(*own.model);
    own.status = own.model->trainStep(&shard, 1, settingsOf(0), own.losses.data());
    after[at] = statesOf(*own.model);
    skipped[own.rank] = own.model->skippedSteps();
  });
  check.isTrue("an overflow on one rank is no failure", ranks[0].status.ok() && ranks[1].status.ok());
  check.isTrue("all skip the step", skipped[0] == 1 && skipped[1] == 1);
  bool same = true;
  for (size_t rank = 0; rank < 2; rank++) {
    for (size_t i = 0; i < before[rank].size(); i++) {
      if (i < 9 || i > 11) same = same && before[rank][i] == after[rank][i];
    }
  }
  check.isTrue("and change no parameter", same);
}

void hung(Checker& check) {
  const int64_t start = comm::steadyMs();
  const auto ranks = together(2, {}, 300, [&](Rank& own) {
    const ShardView shard = shardOf(own.rank, 0);
    own.status = own.model->trainStep(&shard, 1, settingsOf(0), own.losses.data());
    // Rank 1 does not come to the second step.
    if (own.rank == 1 || !own.status.ok()) return;
    own.status = own.model->trainStep(&shard, 1, settingsOf(1), own.losses.data());
    const Status again = own.model->trainStep(&shard, 1, settingsOf(1), own.losses.data());
    if (again.code != "RELIC_RANKS") own.status = Status::failure("", "a later step was made");
  });
  check.isTrue("a rank that never comes is not waited for", ranks[0].status.code == "RELIC_RANKS" && ranks[1].status.ok());
  check.isTrue("the message tells how long, where and in what",
               ranks[0].status.message.find("300 ms rank 0 of 2") != std::string::npos &&
                   ranks[0].status.message.find("device 0") != std::string::npos &&
                   ranks[0].status.message.find("all-reduce") != std::string::npos);
  check.isTrue("within seconds", comm::steadyMs() - start < 30000);
  uint8_t id[RELIC_CUDA_ID_BYTES];
  relic_cuda_nccl_id(&kNccl, 1, id);
  RelicCudaComm* comm = nullptr;
  const Status alone = open(0, 2, id, 100, &comm);
  check.isTrue("nor is one that never opens", alone.code == "RELIC_RANKS" && comm == nullptr);
}

void aborted(Checker& check) {
  RelicCudaComm* comms[2] = {};
  const auto ranks = together(2, {}, kTimeoutMs, [&](Rank& own) {
    const ShardView shard = shardOf(own.rank, 0);
    own.status = own.model->trainStep(&shard, 1, settingsOf(0), own.losses.data());
    if (own.rank == 1) return;
    // As a watchdog does, while the step waits.
    comms[0] = own.comm;
    std::thread watchdog([&] {
      while (!comm::progress().waiting) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      relic_cuda_comm_give_up(comms[0]);
    });
    own.status = own.model->trainStep(&shard, 1, settingsOf(1), own.losses.data());
    watchdog.join();
  });
  check.isTrue("what waits ends when the communicator is given up",
               ranks[0].status.code == "RELIC_RANKS" &&
                   ranks[0].status.message.find("given up") != std::string::npos);
}

void differ(Checker& check) {
  const auto settings = together(2, {}, kTimeoutMs, [&](Rank& own) {
    const ShardView shard = shardOf(own.rank, 0);
    StepSettings step = settingsOf(0);
    if (own.rank == 1) step.lr *= 2;
    own.status = own.model->trainStep(&shard, 1, step, own.losses.data());
  });
  const auto trained = together(2, {}, kTimeoutMs, [&](Rank& own) {
    const ShardView shard = shardOf(own.rank, 0);
    const Words gradients = everyGradient();
    if (own.rank == 1) own.model->setOptimizer({kSgd, 0.999, kEps, 0.01}, gradients.data(), gradients.size(), false);
    own.status = own.model->trainStep(&shard, 1, settingsOf(0), own.losses.data());
  });
  for (size_t rank = 0; rank < 2; rank++) {
    check.isTrue("other settings are told", settings[rank].status.code == "RELIC_RANKS" &&
                                                settings[rank].status.message.find("rank 1 differs") == 0);
    check.isTrue("what is trained as well", trained[rank].status.code == "RELIC_RANKS" &&
                                                trained[rank].status.message.find("what it trains") != std::string::npos);
  }
  const auto shards = together(1, {}, kTimeoutMs, [&](Rank& own) {
    const ShardView two[] = {shardOf(0, 0), shardOf(1, 0)};
    std::vector<ShardLoss> losses(2);
    own.status = own.model->trainStep(two, 2, settingsOf(0), losses.data());
  });
  check.isTrue("a rank has one shard", shards[0].status.code == "RELIC_USAGE");
}

void overHost(Checker& check) {
  bool good[3] = {};
  const auto ranks = together(3, {}, kTimeoutMs, [&](Rank& own) {
    std::vector<float> sum(5, static_cast<float>(own.rank + 1));
    int32_t number = 10 + own.rank, all[3] = {}, root = own.rank == 2 ? 77 : 0;
    const bool called = relic_cuda_comm_all_reduce_sum(own.comm, sum.data(), 5) == 0 &&
                        relic_cuda_comm_all_gather(own.comm, &number, sizeof number, all) == 0 &&
                        relic_cuda_comm_broadcast(own.comm, &root, sizeof root, 2) == 0;
    const bool described = std::string(relic_cuda_comm_describe(own.comm)).find("NCCL 2.28.7") == 0;
    good[own.rank] = called && described && sum == std::vector<float>(5, 6.0f) && all[0] == 10 && all[1] == 11 &&
                     all[2] == 12 && root == 77;
    good[own.rank] = good[own.rank] && relic_cuda_comm_close(own.comm) == 0 &&
                     relic_cuda_comm_broadcast(own.comm, &root, sizeof root, 2) != 0;
  });
  check.isTrue("collectives over memory of the host", good[0] && good[1] && good[2] && ranks[0].status.ok());
  const char* const wrong[] = {"/nowhere/libnccl.so", "libc.so.6"};
  uint8_t id[RELIC_CUDA_ID_BYTES];
  const Status none = GpuModel::status(relic_cuda_nccl_id(wrong, 2, id));
  check.isTrue("without NCCL each place is told", none.code == "RELIC_ENGINE_UNAVAILABLE" &&
                                                      none.message.find("/nowhere") != std::string::npos &&
                                                      none.message.find("lacks a function") != std::string::npos &&
                                                      none.message.find("RELIC_NCCL") != std::string::npos);
}

}  // namespace
}  // namespace relic

int main() {
  relic::Checker check;
  relic::overHost(check);
  relic::trains(check);
  relic::notFinite(check);
  relic::overflow(check);
  relic::differ(check);
  relic::aborted(check);
  relic::hung(check);
  return check.finish();
}
