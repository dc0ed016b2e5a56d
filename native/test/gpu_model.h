// A model of the GPU engine as a Model, with its proteins and batches, for tests of the whole engine.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "addon/cuda_steps.h"
#include "cpu/model.h"
#include "cuda/relic_cuda.h"
#include "encoded_program.h"

namespace relic {

constexpr int kAdamW = 0, kSgd = 1;
inline std::vector<const char*> cublasPaths;
constexpr int64_t kStoreDim = 3;
// Large enough that AdamW does not blow up the rounding of gradients that are zero, as those of key biases.
constexpr double kEps = 1e-4;
inline const std::vector<int32_t> kLengths = {3, 1, 17, 4, 70};

// Values that depend on where they are alone.
inline std::vector<float> waves(size_t count, size_t seed, float scale = 1) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; i++) values[i] = scale * std::sin(static_cast<float>(i * 7 + seed * 13 + 1));
  return values;
}

inline std::vector<float> storeRows() {
  size_t rows = 0;
  for (const int32_t length : kLengths) rows += static_cast<size_t>(length);
  return waves(rows * kStoreDim, 3);
}

struct Batch {
  std::vector<int32_t> a, b;
  std::vector<float> labels;
  BatchView view() const { return {static_cast<int64_t>(labels.size()), a.data(), b.data(), labels.data()}; }
};
inline const Batch kFirst = {{0, 2, 4, 1, 3}, {3, 1, 0, 4, 3}, {1, 0, 1, 0, 1}};
inline const Batch kSecond = {{2, 0}, {2, 4}, {0, 1}};

// The GPU's C interface as a Model, so that both engines run the same lines.
class GpuModel : public Model {
 public:
  struct Options {
    int precision = RELIC_CUDA_FLOAT32, scoringPrecision = RELIC_CUDA_FLOAT32;
    uint64_t memoryLimit = 0;
    RelicCudaComm* comm = nullptr;
    // Of every bucket of gradients.
    uint64_t bucketBytes = 64;
  };
  GpuModel(const Words& program, int precision) : GpuModel(program, Options{precision}) {}
  GpuModel(const Words& program, const Options& wanted) {
    RelicCudaModelOptions options{};
    options.program = program.data();
    options.program_words = program.size();
    options.store = {kStoreDim, static_cast<int64_t>(kLengths.size()), kLengths.data(), rows_.data(),
                     [](void* context, int64_t index, float* out) {
                       size_t at = 0;
                       for (int64_t i = 0; i < index; i++) at += static_cast<size_t>(kLengths[i] * kStoreDim);
                       const auto count = static_cast<size_t>(kLengths[index] * kStoreDim);
                       std::copy_n(static_cast<const float*>(context) + at, count, out);
                     }};
    options.precision = wanted.precision;
    options.scoring_precision = wanted.scoringPrecision;
    options.memory_limit = wanted.memoryLimit;
    options.comm = wanted.comm;
    options.first_bucket_bytes = options.bucket_bytes = wanted.bucketBytes;
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
    const StepView step{shards, count, s};
    int64_t done = 0;
    return trainSteps(&step, 1, losses, &done);
  }
  Status trainSteps(const StepView* steps, int64_t count, ShardLoss* losses, int64_t* done) override {
    CudaSteps call(steps, count, rankCount());
    Status result = status(relic_cuda_train_steps(model_, call.views.data(), count, call.losses.data(), done));
    call.copyLosses(losses);
    return result;
  }
  Status evaluate(const BatchView& batch, float* logits, float* losses) override {
    const RelicCudaBatch view = cudaBatch(batch);
    return status(relic_cuda_evaluate(model_, &view, logits, losses));
  }
  int64_t rankCount() const override { return relic_cuda_rank_count(model_); }
  Status synchronize(Synchronized what) override {
    return status(relic_cuda_synchronize(model_, what == Synchronized::everything ? 1 : 0));
  }
  CollectiveSeconds collectiveSeconds() const override {
    CollectiveSeconds seconds;
    relic_cuda_collective_seconds(model_, &seconds.waited, &seconds.total);
    return seconds;
  }
  size_t memory() const override { return relic_cuda_memory(model_); }
  const char* kernels() const override { return relic_cuda_describe(model_); }
  int64_t skippedSteps() const { return relic_cuda_skipped_steps(model_); }
  int64_t replayedSteps() const { return relic_cuda_replayed_steps(model_); }

  Status created;

  static Status status(int result) {
    if (result == 0) return Status::success();
    const char *code = "", *message = "";
    relic_cuda_last_error(&code, &message);
    return Status::failure(code, message);
  }

 private:
  // Read as long as the model lives, where embeddings are streamed.
  std::vector<float> rows_ = storeRows();
  RelicCudaModel* model_ = nullptr;
};

inline void fill(Model& model, float scale = 0.7f) {
  for (int64_t i = 0; i < model.stateCount(); i++) {
    // The running statistics of batch norm keep their initial values: these are no weights.
    const std::vector<float> values = waves(static_cast<size_t>(model.stateLength(i)), static_cast<size_t>(i), scale);
    if (i < 9 || i > 11) model.writeState(i, values.data());
  }
}

inline std::vector<std::vector<float>> statesOf(const Model& model) {
  std::vector<std::vector<float>> all;
  for (int64_t i = 0; i < model.stateCount(); i++) {
    all.emplace_back(static_cast<size_t>(model.stateLength(i)));
    model.readState(i, all.back().data());
  }
  return all;
}

}  // namespace relic
