#include "addon/cuda_client.h"

#include <dlfcn.h>

#include <map>
#include <mutex>
#include <utility>

#include "addon/cuda_steps.h"

namespace relic {
namespace {

constexpr int32_t kMaxDevices = 64;

// Every function of the interface, as a member of its own name without the prefix.
#define RELIC_CUDA_FUNCTIONS(visit) \
  visit(abi_version)                \
  visit(last_error)                 \
  visit(devices)                    \
  visit(create)                     \
  visit(destroy)                    \
  visit(describe)                   \
  visit(state_count)                \
  visit(state_length)               \
  visit(write_state)                \
  visit(read_state)                 \
  visit(read_gradient)              \
  visit(read_moments)               \
  visit(write_moments)              \
  visit(set_optimizer)              \
  visit(train_steps)                \
  visit(evaluate)                   \
  visit(memory)

struct Library {
#define RELIC_MEMBER(name) decltype(&relic_cuda_##name) name;
  RELIC_CUDA_FUNCTIONS(RELIC_MEMBER)
#undef RELIC_MEMBER

  // The status of a call that returned `result`.
  Status status(int result) const {
    if (result == 0) return Status::success();
    const char *code = "", *message = "";
    last_error(&code, &message);
    return Status::failure(code, message);
  }
};

Status unavailable(const std::string& path, const std::string& what) {
  return Status::failure("RELIC_ENGINE_UNAVAILABLE", path + ": " + what);
}

Status load(const std::string& path, Library* out) {
  // Local: symbols of another CUDA runtime in this process stay apart from this library's own.
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* why = dlerror();
    // It begins with the path.
    return Status::failure("RELIC_ENGINE_UNAVAILABLE", why == nullptr ? path + ": it cannot be opened" : why);
  }
  const char* missing = nullptr;
#define RELIC_RESOLVE(name)                                                                  \
  out->name = reinterpret_cast<decltype(&relic_cuda_##name)>(dlsym(handle, "relic_cuda_" #name)); \
  if (out->name == nullptr) missing = "relic_cuda_" #name;
  RELIC_CUDA_FUNCTIONS(RELIC_RESOLVE)
#undef RELIC_RESOLVE
  if (missing != nullptr) return unavailable(path, std::string("it has no function ") + missing);
  if (const int32_t version = out->abi_version(); version != RELIC_CUDA_ABI_VERSION) {
    return unavailable(path, "expected interface version " + std::to_string(RELIC_CUDA_ABI_VERSION) + ", received " +
                                 std::to_string(version) + "; build both anew");
  }
  return Status::success();
}

// Libraries stay open: device code and worker threads of a driver do not survive being unloaded.
Status libraryAt(const std::string& path, const Library** out) {
  static std::mutex mutex;
  static std::map<std::string, Library> opened;
  const std::lock_guard<std::mutex> lock(mutex);
  auto found = opened.find(path);
  if (found == opened.end()) {
    Library library{};
    if (Status status = load(path, &library); !status.ok()) return status;
    found = opened.emplace(path, library).first;
  }
  *out = &found->second;
  return Status::success();
}

class CudaModel : public Model {
 public:
  CudaModel(const Library& library, RelicCudaModel* model, std::shared_ptr<Store> store)
      : library_(library), store_(std::move(store)), model_(model) {}
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
    CudaSteps call(steps, count);
    Status result = library_.status(library_.train_steps(model_, call.views.data(), count, call.losses.data(), done));
    call.copyLosses(losses);
    return result;
  }

  Status evaluate(const BatchView& batch, float* logits, float* losses) override {
    const RelicCudaBatch view = cudaBatch(batch);
    return library_.status(library_.evaluate(model_, &view, logits, losses));
  }

  size_t memory() const override { return static_cast<size_t>(library_.memory(model_)); }

 private:
  const Library& library_;
  // Read by every step where embeddings do not fit the device.
  const std::shared_ptr<Store> store_;
  RelicCudaModel* model_;
};

}  // namespace

Status cudaDevices(const std::string& library, std::vector<RelicCudaDevice>* devices) {
  const Library* opened = nullptr;
  if (Status status = libraryAt(library, &opened); !status.ok()) return status;
  int32_t count = 0;
  devices->resize(static_cast<size_t>(kMaxDevices));
  Status status = opened->status(opened->devices(devices->data(), kMaxDevices, &count));
  devices->resize(static_cast<size_t>(status.ok() ? count : 0));
  return status;
}

Status createCudaModel(const CudaOptions& options, const double* words, size_t count, std::shared_ptr<Store> store,
                       std::unique_ptr<Model>* out) {
  const Library* library = nullptr;
  if (Status status = libraryAt(options.library, &library); !status.ok()) return status;
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
  RelicCudaModel* model = nullptr;
  if (Status status = library->status(library->create(&call, &model)); !status.ok()) return status;
  *out = std::make_unique<CudaModel>(*library, model, std::move(store));
  return Status::success();
}

}  // namespace relic
