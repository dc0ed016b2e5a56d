// The model: whole steps and scorings, one at a time, on the calling thread and the pool's.
#include "model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "encoded_proteins.h"
#include "hard_examples.h"
#include "isa.h"
#include "kernels/kernels.h"
#include "optimizer_state.h"
#include "plan.h"
#include "pool.h"
#include "runtime.h"
#include "states.h"

namespace relic {
namespace {

// As JavaScript words it.
std::string wordFor(double notFinite) {
  if (std::isnan(notFinite)) return "NaN";
  return notFinite > 0 ? "Infinity" : "-Infinity";
}

class CpuModel : public Model {
 public:
  CpuModel(Program program, std::shared_ptr<Store> store, int threads, const Kernels& kernels,
           const ProductKernels& product)
      : program_(std::move(program)),
        store_(std::move(store)),
        pool_(threads),
        kernels_(kernels),
        states_(program_),
        runtime_(program_, *store_, Context{pool_, kernels_}, Context{pool_, kernels_, product}, states_),
        encoded_(store_->count()),
        couplesPairs_(std::any_of(program_.training.begin(), program_.training.end(),
                                  [](const Op& op) { return op.kind == OpKind::batchNorm; })) {
    const auto scoringOps = static_cast<int32_t>(program_.scoring.size());
    const std::vector<int32_t> scores = {program_.scoringLogits, program_.lossPerPair};
    const bool prefix = program_.prefixOps > 0;
    if (prefix) encodingPlan_ = planScoring(program_, 0, program_.prefixOps, -1, {program_.prefixOutput});
    const int32_t given = prefix ? program_.prefixOutput : -1;
    scoringPlan_ = planScoring(program_, program_.prefixOps, scoringOps, given, scores);
  }

  const char* kernels() const override { return kernels_.name; }

  int64_t stateCount() const override { return states_.count(); }
  int64_t stateLength(int64_t index) const override { return states_.length(index); }

  Status writeState(int64_t index, const float* values) override {
    std::memcpy(states_.values(index), values, bytesOf(index));
    encoded_.clear();
    return Status::success();
  }

  Status readState(int64_t index, float* values) const override {
    std::memcpy(values, states_.values(index), bytesOf(index));
    return Status::success();
  }

  Status readGradient(int64_t index, float* values, bool* trained) const override {
    *trained = optimizer_ != nullptr && optimizer_->trains(index);
    if (*trained) std::memcpy(values, optimizer_->gradient(index), bytesOf(index));
    return Status::success();
  }

  Status readMoments(int64_t index, const Moments& out, bool* trained) const override {
    *trained = optimizer_ != nullptr && optimizer_->trains(index);
    if (*trained) optimizer_->readMoments(index, states_, out);
    return Status::success();
  }

  Status writeMoments(int64_t index, const Moments& values, bool* trained) override {
    *trained = optimizer_ != nullptr && optimizer_->trains(index);
    if (*trained) optimizer_->writeMoments(index, states_, values);
    return Status::success();
  }

  Status setOptimizer(const OptimizerSettings& settings, const double* words, size_t count, bool keepState) override;
  Status trainStep(const ShardView* shards, int64_t shardCount, const StepSettings& settings,
                   ShardLoss* losses) override;
  Status evaluate(const BatchView& batch, float* logits, float* losses) override;

  size_t memory() const override {
    return states_.bytes() + runtime_.bytes() + encoded_.bytes() + pool_.scratchBytes() +
           (optimizer_ == nullptr ? 0 : optimizer_->bytes());
  }

 private:
  size_t bytesOf(int64_t state) const { return static_cast<size_t>(states_.length(state)) * sizeof(float); }
  Status checkShard(const BatchView& batch);
  ShardLoss seedGradient(const StepSettings& settings);
  void encodeMissing();
  void placeEncoded();

  const Program program_;
  const std::shared_ptr<Store> store_;
  Pool pool_;
  const Kernels& kernels_;
  States states_;
  Runtime runtime_;
  EncodedProteins encoded_;
  // The leading ops that see one sequence at a time, where there are any, and the rest.
  Plan encodingPlan_, scoringPlan_;
  Plan trainingPlan_;
  // Whether the gradient of one pair's loss reaches the rows of another.
  const bool couplesPairs_;
  std::unique_ptr<OptimizerState> optimizer_;
  std::vector<int32_t> chosen_;
};

Status CpuModel::setOptimizer(const OptimizerSettings& settings, const double* words, size_t count, bool keepState) {
  Gradients gradients;
  if (Status status = decodeGradients(words, count, program_, &gradients); !status.ok()) return status;
  Plan plan = planTraining(program_, gradients);
  optimizer_ = std::make_unique<OptimizerState>(settings, gradients.trained, states_,
                                                keepState ? optimizer_.get() : nullptr);
  trainingPlan_ = std::move(plan);
  return Status::success();
}

// --- Training --------------------------------------------------------------------------------------------------------

Status CpuModel::trainStep(const ShardView* shards, int64_t shardCount, const StepSettings& settings,
                           ShardLoss* losses) {
  if (optimizer_ == nullptr) return Status::failure("RELIC_USAGE", "trainStep was called before setOptimizer");
  if (shardCount < 1) {
    return Status::failure("RELIC_BATCH_INVALID", "step: expected at least one shard, received none");
  }
  for (int64_t rank = 0; rank < shardCount; rank++) {
    if (Status status = checkShard(shards[rank].batch); !status.ok()) return status;
  }
  for (int64_t rank = 0; rank < shardCount; rank++) {
    const ShardView& shard = shards[rank];
    if (Status status = runtime_.layout.bind(shard.batch, *store_); !status.ok()) return status;
    runtime_.labels = shard.batch.labels;
    runtime_.clock = {{shard.key[0], shard.key[1]}, settings.step};
    runtime_.bind(trainingPlan_);
    runtime_.forward(program_.training, 0, static_cast<int32_t>(program_.training.size()), true, rank == 0);
    losses[rank] = seedGradient(settings);
    if (!std::isfinite(losses[rank].lossSum)) {
      return Status::failure("RELIC_NOT_FINITE", "the training loss: expected a finite number, received " +
                                                     wordFor(losses[rank].lossSum) +
                                                     "\n  fix: lower the learning rate, and check the embeddings for "
                                                     "very large values");
    }
    if (losses[rank].kept < shard.batch.pairs && !couplesPairs_) {
      std::sort(chosen_.begin(), chosen_.end());
      runtime_.keepPairs(chosen_);
    }
    runtime_.backward(*optimizer_, rank > 0);
  }
  const float mean = 1 / static_cast<float>(shardCount);
  optimizer_->step(runtime_.context, states_, mean, settings.lr, settings.momentum);
  encoded_.clear();
  return Status::success();
}

// Whatever a training forward could find wrong with a batch, before anything is changed.
Status CpuModel::checkShard(const BatchView& batch) {
  if (Status status = runtime_.layout.bind(batch, *store_); !status.ok()) return status;
  for (const Op& op : program_.training) {
    if (op.kind != OpKind::batchNorm) continue;
    const int64_t rows = runtime_.rows(op.inputs[0]);
    if (rows >= 2) continue;
    return Status::failure("RELIC_BATCH_INVALID",
                           "batch norm in training: expected at least 2 pairs in a batch, to have a variance, "
                           "received " +
                               std::to_string(rows) +
                               "\n  fix: set data_config.dataloader.drop_last: true, or another batch_size, or "
                               "mlp_head.norm: layernorm");
  }
  return Status::success();
}

// Sets the gradient of each pair's loss: 1 / kept for kept pairs, 0 for the others.
ShardLoss CpuModel::seedGradient(const StepSettings& settings) {
  const int64_t pairs = runtime_.layout.pairs;
  const float* losses = runtime_.value(program_.lossPerPair);
  float* seed = runtime_.gradient(program_.lossPerPair);
  if (settings.hardExamples) {
    hardestPairs(losses, pairs, settings.keepRatio, settings.minKeep, &chosen_);
  } else {
    chosen_.resize(static_cast<size_t>(pairs));
    for (int64_t i = 0; i < pairs; i++) chosen_[static_cast<size_t>(i)] = static_cast<int32_t>(i);
  }
  std::fill_n(seed, pairs, 0.0f);
  ShardLoss result{0, static_cast<int64_t>(chosen_.size())};
  for (const int32_t i : chosen_) {
    seed[i] = static_cast<float>(1 / static_cast<double>(result.kept));
    result.lossSum += losses[i];
  }
  return result;
}

// --- Scoring ---------------------------------------------------------------------------------------------------------

Status CpuModel::evaluate(const BatchView& batch, float* logits, float* losses) {
  if (Status status = runtime_.layout.bind(batch, *store_); !status.ok()) return status;
  if (program_.prefixOps > 0) {
    encodeMissing();
    if (Status status = runtime_.layout.bind(batch, *store_); !status.ok()) return status;
  }
  runtime_.labels = batch.labels;
  runtime_.bind(scoringPlan_);
  if (program_.prefixOps > 0) placeEncoded();
  runtime_.forward(program_.scoring, program_.prefixOps, static_cast<int32_t>(program_.scoring.size()), false, false);
  const size_t bytes = static_cast<size_t>(batch.pairs) * sizeof(float);
  std::memcpy(logits, runtime_.value(program_.scoringLogits), bytes);
  std::memcpy(losses, runtime_.value(program_.lossPerPair), bytes);
  return Status::success();
}

// Encodes the proteins of the bound batch that are not kept yet; the layout is then theirs.
void CpuModel::encodeMissing() {
  const std::vector<int32_t>& missing = encoded_.missing(runtime_.layout.proteins);
  if (missing.empty()) return;
  // Indices were checked with the batch.
  runtime_.layout.bindSequences(missing, *store_);
  runtime_.bind(encodingPlan_);
  runtime_.forward(program_.scoring, 0, program_.prefixOps, false, false);
  encoded_.keep(runtime_.layout, runtime_.value(program_.prefixOutput), runtime_.cols(program_.prefixOutput));
}

// Writes the kept rows of the bound batch where the remaining ops read them.
void CpuModel::placeEncoded() {
  const Layout& layout = runtime_.layout;
  const int64_t cols = runtime_.cols(program_.prefixOutput);
  float* out = runtime_.value(program_.prefixOutput);
  const double cost = 0.2 * static_cast<double>(layout.tokens * cols);
  pool_.parallelRanges(layout.sequences(), 1, cost, [&](int64_t from, int64_t to, int64_t) {
    for (auto i = static_cast<size_t>(from); i < static_cast<size_t>(to); i++) {
      const int64_t rows = layout.offsets[i + 1] - layout.offsets[i];
      std::memcpy(out + layout.offsets[i] * cols, encoded_.rows(layout.proteins[i]),
                  static_cast<size_t>(rows * cols) * sizeof(float));
    }
  });
}

}  // namespace

Status Model::trainSteps(const StepView* steps, int64_t count, ShardLoss* losses, int64_t* done) {
  for (*done = 0; *done < count; ++*done) {
    const StepView& step = steps[*done];
    if (Status status = trainStep(step.shards, step.shardCount, step.settings, losses); !status.ok()) return status;
    losses += step.shardCount;
  }
  return Status::success();
}

Status Model::create(const double* words, size_t count, std::shared_ptr<Store> store, int threads,
                     const char* isa, bool bf16, std::unique_ptr<Model>* out) {
  Program program;
  if (Status status = decodeProgram(words, count, &program); !status.ok()) return status;
  if (store->dim() != program.inputDim) {
    return Status::failure("RELIC_EMBEDDING_INVALID", "the embedding store: expected rows of " +
                                                          std::to_string(program.inputDim) + " values, received " +
                                                          std::to_string(store->dim()));
  }
  const Kernels* kernels = kernelsFor(isa);
  if (kernels == nullptr) {
    std::string names;
    for (const char* name : availableIsas()) names += (names.empty() ? "" : ", ") + std::string(name);
    return Status::failure("RELIC_ENGINE_UNAVAILABLE", "RELIC_ISA: expected one that this CPU runs: " + names +
                                                           ", received " + (isa == nullptr ? "" : isa));
  }
  const ProductKernels* product = bf16 ? bf16ProductOf(*kernels) : &kernels->product;
  if (product == nullptr) {
    return Status::failure("RELIC_ENGINE_UNAVAILABLE", "bf16 products: expected a CPU and kernels with AVX512_BF16, "
                                                       "received " + std::string(kernels->name) + " kernels");
  }
  *out = std::make_unique<CpuModel>(std::move(program), std::move(store), std::max(1, threads), *kernels, *product);
  return Status::success();
}

}  // namespace relic
