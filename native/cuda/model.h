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
#include "cuda/rank_exchange.h"
#include "cuda/relic_cuda.h"
#include "cuda/runtime.h"
#include "cuda/states.h"
#include "cuda/step_graphs.h"
#include "cuda/store.h"
#include "relic/program.h"
#include "relic/status.h"

namespace relic::cuda {

// RELIC_NOT_FINITE. `whose` is " of rank N", or nothing.
Status lossNotFinite(double lossSum, const std::string& whose);

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
  // Steps are queued one after another while the device works; the host waits once, at the end.
  Status trainSteps(const StepView* steps, int64_t count, ShardLoss* losses, int64_t* done) override;
  Status evaluate(const BatchView&, float* logits, float* losses) override;
  int64_t rankCount() const override { return exchange_ == nullptr ? 1 : exchange_->comm().size(); }
  Status synchronize(Synchronized what) override;
  CollectiveSeconds collectiveSeconds() const override;
  size_t memory() const override;
  int64_t skippedSteps() const { return skippedSteps_; }
  // Steps that were launched as a whole.
  int64_t replayedSteps() const { return graphs_.replays(); }

 private:
  struct Precision {
    Format training, scoring;
  };
  // One shard of the step that is being queued.
  struct PreparedShard {
    Layout layout;
    BatchLists lists;
    uint32_t key[2];
    int64_t kept;
  };

  GpuModel(Program training, std::vector<Format> formats, Program scoring, std::vector<Format> scoringFormats,
           Precision precision, int64_t proteins, size_t encodedLimit);

  Status open(const RelicCudaModelOptions& options);
  // Whether embeddings stay on the device; RELIC_OUT_OF_MEMORY, with the sum, when what has to does not fit.
  Status checkMemory(const RelicCudaModelOptions& options, bool* resident);
  Status checkSteps(const StepView* steps, int64_t count);
  Status checkShard(const BatchView& batch);
  // Room for what `count` steps of `widest` shards or fewer leave, and nothing left of earlier ones.
  Status beginSteps(int64_t count, int64_t widest);
  Status queueStep(const StepView& step);
  // One step of one rank among others, waited for. losses: of every rank.
  Status trainWithRanks(const StepView& step, ShardLoss* losses);
  // Queues what GradientExchange::begin does.
  Status beginExchange();
  // Of what must be the same on every rank.
  uint64_t fingerprint() const;
  // Plans the shards of a step and sends what they read.
  Status prepareStep(const StepView& step);
  // Everything that makes two steps queue other work.
  std::vector<int64_t> signature() const;
  // Queues the work of the step that was prepared last: all that a graph records.
  Status launchStep();
  Status launchShard(const PreparedShard& shard, int64_t rank);
  // Waits, and reads what came of `count` steps of which the last may not have been queued.
  Status collect(const StepView* steps, int64_t count, ShardLoss* losses, int64_t* done);
  Status encodeMissing(const BatchView& batch);
  // Sends the lists of the batch that runtime.layout is of, alone, and binds it.
  Status bindScoring(const Plan& plan, const std::vector<const void*>& rows, Format format, const float* labels);

  // One program in two precisions.
  const Program trainingProgram_, scoringProgram_;
  const Format compute_;
  // Memory must outlive what queues work on it, and the context waits for that work when it is destroyed: it is last.
  States states_;
  EmbeddingRows store_;
  Buffer arena_;
  Buffer outcome_;   // a StepOutcome
  Buffer lossSums_;  // (shards) doubles
  Buffer records_;   // of the steps of a call
  PinnedBuffer results_;
  EncodedProteins encoded_;
  std::unique_ptr<OptimizerState> optimizer_;
  std::unique_ptr<Gemm> gemm_;
  std::vector<Format> formats_, scoringFormats_;
  std::unique_ptr<Runtime> training_, scoring_;
  Plan trainingPlan_, encodingPlan_, scoringPlan_;
  StepGraphs graphs_;
  std::vector<PreparedShard> shards_;
  std::vector<comm::Report> reports_;
  // Of the step that is being queued.
  StepSettings settings_{};
  std::vector<int32_t> proteins_;
  std::vector<const void*> rows_;
  size_t bytesPerRecord_ = 0;
  float gradientFactor_ = 1;
  int64_t applied_ = 0;
  int64_t skippedSteps_ = 0;
  std::string description_;
  // Null for a model on its own. What it sends lies above; work in the context below reads its memory.
  std::unique_ptr<RankExchange> exchange_;
  Context context_;
};

}  // namespace relic::cuda
