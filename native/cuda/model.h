// A program bound to parameters, an embedding store and an optimiser on one GPU: the twin of native/cpu/model.cpp.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cpu/model.h"
#include "cpu/plan.h"
#include "cuda/context.h"
#include "cuda/encoded_proteins.h"
#include "cuda/gemm.h"
#include "cuda/optimizer_state.h"
#include "cuda/relic_cuda.h"
#include "cuda/runtime.h"
#include "cuda/states.h"
#include "cuda/store.h"
#include "relic/program.h"
#include "relic/status.h"

namespace relic::cuda {

class GpuModel : public Model {
 public:
  static Status create(const RelicCudaModelOptions& options, std::unique_ptr<GpuModel>* out);
  ~GpuModel() override;

  const char* kernels() const override { return description_.c_str(); }
  int64_t stateCount() const override { return states_.count(); }
  int64_t stateLength(int64_t index) const override { return states_.length(index); }
  Status writeState(int64_t index, const float* values) override;
  Status readState(int64_t index, float* values) const override;
  Status readGradient(int64_t index, float* values, bool* trained) const override;
  Status readMoments(int64_t index, const Moments& out, bool* trained) const override;
  Status writeMoments(int64_t index, const Moments& values, bool* trained) override;
  Status setOptimizer(const OptimizerSettings&, const double* words, size_t count, bool keepState) override;
  Status trainStep(const ShardView* shards, int64_t shardCount, const StepSettings&, ShardLoss* losses) override;
  Status evaluate(const BatchView&, float* logits, float* losses) override;
  size_t memory() const override;
  int64_t skippedSteps() const { return skippedSteps_; }

 private:
  GpuModel(Program training, std::vector<Format> formats, Program scoring, Format compute, int64_t proteins,
           size_t encodedLimit);

  Status open(const RelicCudaModelOptions& options);
  // RELIC_OUT_OF_MEMORY, with the sum, when what must be resident does not fit.
  Status checkMemory(const RelicCudaModelOptions& options);
  Status checkShard(const BatchView& batch);
  Status runShard(const ShardView& shard, const StepSettings& settings, int64_t rank, ShardLoss* loss);
  Status finishStep(int64_t shardCount, ShardLoss* losses);
  Status encodeMissing(const BatchView& batch);
  std::vector<const void*> storedRows(const Layout& layout) const;

  // One program in two precisions: scoring is float32 whatever training is.
  const Program trainingProgram_, scoringProgram_;
  const Format compute_;
  // Memory must outlive what queues work on it, and the context waits for that work when it is destroyed: it is last.
  States states_;
  ResidentStore store_;
  Buffer arena_;
  Buffer outcome_;   // a StepOutcome
  Buffer lossSums_;  // (shards) doubles
  PinnedBuffer results_;
  EncodedProteins encoded_;
  std::unique_ptr<OptimizerState> optimizer_;
  std::unique_ptr<Gemm> gemm_;
  std::vector<Format> formats_;
  std::unique_ptr<Runtime> training_, scoring_;
  Plan trainingPlan_, encodingPlan_, scoringPlan_;
  float gradientFactor_ = 1;
  float scale_ = 1;
  int64_t skippedSteps_ = 0;
  std::string description_;
  Context context_;
};

}  // namespace relic::cuda
