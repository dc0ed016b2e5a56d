// The C interface: every call catches what allocation may throw, and keeps its failure for relic_cuda_last_error.
#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>

#include "comm/progress.h"
#include "cuda/devices.h"
#include "cuda/model.h"
#include "cuda/nccl.h"
#include "cuda/relic_cuda.h"

struct RelicCudaModel {
  std::unique_ptr<relic::cuda::GpuModel> model;
};

namespace relic::cuda {
namespace {

thread_local Status lastFailure;

template <typename Work>
int guarded(Work&& work) noexcept {
  try {
    Status status = work();
    if (status.ok()) return 0;
    lastFailure = std::move(status);
  } catch (const std::bad_alloc&) {
    lastFailure.code = "RELIC_OUT_OF_MEMORY";
    lastFailure.message = "the machine has no memory left for this batch or model";
  } catch (const std::exception& error) {
    lastFailure.code = "RELIC_ENGINE_CALL";
    lastFailure.message = error.what();
  }
  return 1;
}

BatchView viewOf(const RelicCudaBatch& batch) {
  return {batch.pairs, batch.protein_a, batch.protein_b, batch.labels};
}

StepSettings settingsOf(const RelicCudaStep& step) {
  return {step.step, step.lr, step.momentum, step.hard_examples != 0, step.keep_ratio, step.min_keep,
          step.stop != 0};
}

}  // namespace

}  // namespace relic::cuda

using relic::Status;
using relic::cuda::guarded;

extern "C" {

int32_t relic_cuda_abi_version(void) { return RELIC_CUDA_ABI_VERSION; }

void relic_cuda_last_error(const char** code, const char** message) {
  *code = relic::cuda::lastFailure.code.c_str();
  *message = relic::cuda::lastFailure.message.c_str();
}

int relic_cuda_devices(RelicCudaDevice* devices, int32_t capacity, int32_t* count) {
  return guarded([&]() -> Status {
    std::vector<RelicCudaDevice> found;
    RELIC_TRY(relic::cuda::listDevices(&found));
    *count = 0;
    for (const RelicCudaDevice& each : found) {
      if (*count < capacity) devices[(*count)++] = each;
    }
    return Status::success();
  });
}

int relic_cuda_create(const RelicCudaModelOptions* options, RelicCudaModel** model) {
  return guarded([&]() -> Status {
    auto result = std::make_unique<RelicCudaModel>();
    RELIC_TRY(relic::cuda::GpuModel::create(*options, &result->model));
    *model = result.release();
    return Status::success();
  });
}

void relic_cuda_destroy(RelicCudaModel* model) { delete model; }

const char* relic_cuda_describe(const RelicCudaModel* model) { return model->model->kernels(); }

int64_t relic_cuda_state_count(const RelicCudaModel* model) { return model->model->stateCount(); }

int64_t relic_cuda_state_length(const RelicCudaModel* model, int64_t index) { return model->model->stateLength(index); }

int relic_cuda_write_state(RelicCudaModel* model, int64_t index, const float* values) {
  return guarded([&] { return model->model->writeState(index, values); });
}

int relic_cuda_read_state(const RelicCudaModel* model, int64_t index, float* values) {
  return guarded([&] { return model->model->readState(index, values); });
}

int relic_cuda_read_gradient(const RelicCudaModel* model, int64_t index, float* values, int32_t* trained) {
  return guarded([&]() -> Status {
    bool isTrained = false;
    RELIC_TRY(model->model->readGradient(index, values, &isTrained));
    *trained = isTrained ? 1 : 0;
    return Status::success();
  });
}

int relic_cuda_read_moments(const RelicCudaModel* model, int64_t index, float* first, float* second, int64_t* steps,
                            int32_t* trained) {
  return guarded([&]() -> Status {
    bool isTrained = false;
    RELIC_TRY(model->model->readMoments(index, {first, second, steps}, &isTrained));
    *trained = isTrained ? 1 : 0;
    return Status::success();
  });
}

int relic_cuda_write_moments(RelicCudaModel* model, int64_t index, const float* first, const float* second,
                             int64_t steps, int32_t* trained) {
  return guarded([&]() -> Status {
    bool isTrained = false;
    const relic::Moments moments{const_cast<float*>(first), const_cast<float*>(second), &steps};
    RELIC_TRY(model->model->writeMoments(index, moments, &isTrained));
    *trained = isTrained ? 1 : 0;
    return Status::success();
  });
}

int relic_cuda_set_optimizer(RelicCudaModel* model, const RelicCudaOptimizer* settings, const double* words,
                             size_t count, int32_t keep_state) {
  return guarded([&] {
    return model->model->setOptimizer({settings->type, settings->beta2, settings->eps, settings->weight_decay}, words,
                                      count, keep_state != 0);
  });
}

int relic_cuda_train_step(RelicCudaModel* model, const RelicCudaShard* shards, int64_t shard_count,
                          const RelicCudaStep* settings, RelicCudaShardLoss* losses) {
  const RelicCudaStepShards step{shards, shard_count, *settings};
  int64_t done = 0;
  return relic_cuda_train_steps(model, &step, 1, losses, &done);
}

int relic_cuda_train_steps(RelicCudaModel* model, const RelicCudaStepShards* steps, int64_t count,
                           RelicCudaShardLoss* losses, int64_t* done) {
  *done = 0;
  return guarded([&]() -> Status {
    std::vector<std::vector<relic::ShardView>> shards(static_cast<size_t>(count));
    std::vector<relic::StepView> views;
    size_t total = 0;
    for (int64_t i = 0; i < count; i++) {
      const RelicCudaStepShards& step = steps[i];
      std::vector<relic::ShardView>& own = shards[static_cast<size_t>(i)];
      for (int64_t k = 0; k < step.shard_count; k++) {
        own.push_back({relic::cuda::viewOf(step.shards[k].batch), {step.shards[k].key[0], step.shards[k].key[1]}});
      }
      views.push_back({own.data(), step.shard_count, relic::cuda::settingsOf(step.settings)});
      total += std::max<size_t>(own.size(), static_cast<size_t>(model->model->rankCount()));
    }
    std::vector<relic::ShardLoss> results(total);
    const Status status = model->model->trainSteps(views.data(), count, results.data(), done);
    for (size_t i = 0; i < total; i++) losses[i] = {results[i].lossSum, results[i].kept, results[i].stop ? 1 : 0};
    return status;
  });
}

int relic_cuda_evaluate(RelicCudaModel* model, const RelicCudaBatch* batch, float* logits, float* losses) {
  return guarded([&] { return model->model->evaluate(relic::cuda::viewOf(*batch), logits, losses); });
}

int relic_cuda_synchronize(RelicCudaModel* model, int32_t everything) {
  return guarded([&] {
    return model->model->synchronize(everything != 0 ? relic::Synchronized::everything : relic::Synchronized::buffers);
  });
}

int64_t relic_cuda_rank_count(const RelicCudaModel* model) { return model->model->rankCount(); }

void relic_cuda_collective_seconds(const RelicCudaModel* model, double* waited, double* total) {
  const relic::CollectiveSeconds seconds = model->model->collectiveSeconds();
  *waited = seconds.waited;
  *total = seconds.total;
}

int relic_cuda_nccl_id(const char* const* nccl_paths, size_t nccl_path_count, uint8_t* id) {
  return guarded([&]() -> Status {
    relic::cuda::nccl::Functions nccl{};
    RELIC_TRY(relic::cuda::openNccl({nccl_paths, nccl_paths + nccl_path_count}, &nccl));
    relic::cuda::nccl::UniqueId unique{};
    static_assert(sizeof unique == RELIC_CUDA_ID_BYTES);
    if (const int result = nccl.getUniqueId(&unique); result != relic::cuda::nccl::kSuccess) {
      return Status::failure("RELIC_RANKS", std::string("ncclGetUniqueId: ") + nccl.getErrorString(result) +
                                                "\n  fix: NCCL_DEBUG=INFO tells more");
    }
    std::memcpy(id, unique.internal, sizeof unique);
    return Status::success();
  });
}

int relic_cuda_comm_open(const RelicCudaCommOptions* options, RelicCudaComm** comm) {
  return guarded([&]() -> Status {
    if (options->progress != nullptr) {
      relic::comm::shareProgress(static_cast<relic::comm::Progress*>(options->progress));
    }
    std::unique_ptr<relic::cuda::NcclComm> opened;
    RELIC_TRY(relic::cuda::NcclComm::open(*options, &opened));
    *comm = new RelicCudaComm{std::move(opened)};
    return Status::success();
  });
}

void relic_cuda_comm_destroy(RelicCudaComm* comm) { delete comm; }

const char* relic_cuda_comm_describe(const RelicCudaComm* comm) { return comm->comm->description().c_str(); }

int relic_cuda_comm_all_reduce_sum(RelicCudaComm* comm, float* data, int64_t count) {
  return guarded([&] { return comm->comm->allReduceSumOnHost(data, static_cast<size_t>(count)); });
}

int relic_cuda_comm_all_gather(RelicCudaComm* comm, const void* in, size_t bytes, void* out) {
  return guarded([&] { return comm->comm->allGatherOnHost(in, bytes, out); });
}

int relic_cuda_comm_broadcast(RelicCudaComm* comm, void* data, size_t bytes, int32_t root) {
  return guarded([&] { return comm->comm->broadcastOnHost(data, bytes, root); });
}

int relic_cuda_comm_close(RelicCudaComm* comm) {
  return guarded([&] { return comm->comm->close(); });
}

void relic_cuda_comm_give_up(RelicCudaComm* comm) { comm->comm->giveUp(); }

uint64_t relic_cuda_memory(const RelicCudaModel* model) { return model->model->memory(); }

int64_t relic_cuda_skipped_steps(const RelicCudaModel* model) { return model->model->skippedSteps(); }

int64_t relic_cuda_replayed_steps(const RelicCudaModel* model) { return model->model->replayedSteps(); }

int relic_cuda_export_mask(int32_t device, const uint32_t key[2], uint32_t site, uint32_t step, uint32_t threshold,
                           float scale, int64_t rows, int64_t cols, float* mask) {
  return guarded([&] {
    return relic::cuda::exportMask(device, {{key[0], key[1]}, site, step, threshold, scale}, rows, cols, mask);
  });
}

}  // extern "C"
