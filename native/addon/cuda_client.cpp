#include "addon/cuda_client.h"

#include <utility>

#include "addon/cuda_library.h"
#include "addon/cuda_steps.h"

namespace relic {
namespace {

constexpr int32_t kMaxDevices = 64;

class CudaModel : public Model {
 public:
  CudaModel(const CudaLibrary& library, RelicCudaModel* model, std::shared_ptr<Store> store,
            std::shared_ptr<CudaComm> comm)
      : library_(library), store_(std::move(store)), comm_(std::move(comm)), model_(model) {}
  ~CudaModel() override { library_.destroy(model_); }
  CudaModel(const CudaModel&) = delete;
  CudaModel& operator=(const CudaModel&) = delete;

  const char* kernels() const override { return library_.describe(model_); }
  int64_t stateCount() const override { return library_.state_count(model_); }
  int64_t stateLength(int64_t index) const override { return library_.state_length(model_, index); }

  Status writeState(int64_t index, const float* values) override {
    return library_.status(library_.write_state(model_, index, values));
  }
  Status readState(int64_t index, float* values) const override {
    return library_.status(library_.read_state(model_, index, values));
  }
  Status readGradient(int64_t index, float* values, bool* trained) const override {
    int32_t isTrained = 0;
    Status status = library_.status(library_.read_gradient(model_, index, values, &isTrained));
    *trained = isTrained != 0;
    return status;
  }

  Status readMoments(int64_t index, const Moments& out, bool* trained) const override {
    int32_t isTrained = 0;
    Status status =
        library_.status(library_.read_moments(model_, index, out.first, out.second, out.steps, &isTrained));
    *trained = isTrained != 0;
    return status;
  }
  Status writeMoments(int64_t index, const Moments& values, bool* trained) override {
    int32_t isTrained = 0;
    Status status = library_.status(
        library_.write_moments(model_, index, values.first, values.second, *values.steps, &isTrained));
    *trained = isTrained != 0;
    return status;
  }

  Status setOptimizer(const OptimizerSettings& settings, const double* words, size_t count, bool keepState) override {
    const RelicCudaOptimizer optimizer{settings.type, settings.beta2, settings.eps, settings.weightDecay};
    return library_.status(library_.set_optimizer(model_, &optimizer, words, count, keepState ? 1 : 0));
  }

  Status trainStep(const ShardView* shards, int64_t shardCount, const StepSettings& settings,
                   ShardLoss* losses) override {
    const StepView step{shards, shardCount, settings};
    int64_t done = 0;
    return trainSteps(&step, 1, losses, &done);
  }

  Status trainSteps(const StepView* steps, int64_t count, ShardLoss* losses, int64_t* done) override {
    CudaSteps call(steps, count, rankCount());
    Status result = library_.status(library_.train_steps(model_, call.views.data(), count, call.losses.data(), done));
    call.copyLosses(losses);
    return result;
  }

  Status evaluate(const BatchView& batch, float* logits, float* losses) override {
    const RelicCudaBatch view = cudaBatch(batch);
    return library_.status(library_.evaluate(model_, &view, logits, losses));
  }

  int64_t rankCount() const override { return library_.rank_count(model_); }
  Status synchronize(Synchronized what) override {
    return library_.status(library_.synchronize(model_, what == Synchronized::everything ? 1 : 0));
  }
  CollectiveSeconds collectiveSeconds() const override {
    CollectiveSeconds seconds;
    library_.collective_seconds(model_, &seconds.waited, &seconds.total);
    return seconds;
  }
  // A step alone is short; one that waits for other ranks is not.
  void cancel() override {
    if (comm_ != nullptr) comm_->cancel();
  }

  size_t memory() const override { return static_cast<size_t>(library_.memory(model_)); }

 private:
  const CudaLibrary& library_;
  // Read by every step where embeddings do not fit the device.
  const std::shared_ptr<Store> store_;
  // Null for a model on its own.
  const std::shared_ptr<CudaComm> comm_;
  RelicCudaModel* model_;
};

}  // namespace

Status cudaDevices(const std::string& library, std::vector<RelicCudaDevice>* devices) {
  const CudaLibrary* opened = nullptr;
  if (Status status = cudaLibraryAt(library, &opened); !status.ok()) return status;
  int32_t count = 0;
  devices->resize(static_cast<size_t>(kMaxDevices));
  Status status = opened->status(opened->devices(devices->data(), kMaxDevices, &count));
  devices->resize(static_cast<size_t>(status.ok() ? count : 0));
  return status;
}

Status createCudaModel(const CudaOptions& options, const double* words, size_t count, std::shared_ptr<Store> store,
                       const CudaRanks& ranks, std::unique_ptr<Model>* out) {
  const CudaLibrary* library = nullptr;
  if (Status status = cudaLibraryAt(options.library, &library); !status.ok()) return status;
  std::vector<int32_t> lengths;
  for (int64_t i = 0; i < store->count(); i++) lengths.push_back(store->length(i));
  std::vector<const char*> paths;
  for (const std::string& path : options.cublasPaths) paths.push_back(path.c_str());
  RelicCudaModelOptions call{};
  call.program = words;
  call.program_words = count;
  call.store = {store->dim(), store->count(), lengths.data(), store.get(),
                [](void* context, int64_t index, float* rows) { static_cast<Store*>(context)->read(index, rows); }};
  call.device = options.device;
  call.precision = options.precision;
  call.scoring_precision = options.scoringPrecision;
  call.memory_limit = options.memoryLimit;
  call.cublas_paths = paths.data();
  call.cublas_path_count = paths.size();
  if (ranks.comm != nullptr) {
    call.comm = ranks.comm->handle();
    call.first_bucket_bytes = ranks.buckets.first;
    call.bucket_bytes = ranks.buckets.rest;
  }
  RelicCudaModel* model = nullptr;
  if (Status status = library->status(library->create(&call, &model)); !status.ok()) return status;
  *out = std::make_unique<CudaModel>(*library, model, std::move(store), ranks.comm);
  return Status::success();
}

}  // namespace relic
