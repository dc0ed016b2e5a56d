// The model: whole steps and scorings, one at a time, on the calling thread and the pool's.
#include "model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "comm/exchange.h"
#include "comm/progress.h"
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

// Its caller has disposed of the model and will not see it.
Status cancelled() { return Status::failure("RELIC_ENGINE_DISPOSED", "the call was cancelled"); }

// As JavaScript words it.
std::string wordFor(double notFinite) {
  if (std::isnan(notFinite)) return "NaN";
  return notFinite > 0 ? "Infinity" : "-Infinity";
}

// `whose` is " of rank N", or nothing.
Status checkLoss(const ShardLoss& loss, const std::string& whose) {
  if (std::isfinite(loss.lossSum)) return Status::success();
  return Status::failure("RELIC_NOT_FINITE", "the training loss" + whose + ": expected a finite number, received " +
                                                 wordFor(loss.lossSum) +
                                                 "\n  fix: lower the learning rate, and check the embeddings for "
                                                 "very large values");
}

class CpuModel : public Model {
 public:
  CpuModel(Program program, std::shared_ptr<Store> store, const CpuOptions& options, const Kernels& kernels,
           const ProductKernels& product, const Ranks& ranks)
      : program_(std::move(program)),
        store_(std::move(store)),
        pool_(std::max(1, options.threads)),
        kernels_(kernels),
        states_(program_),
        runtime_(program_, *store_, Context{pool_, kernels_}, Context{pool_, kernels_, product}, states_),
        encoded_(store_->count(), options.encoderCacheBytes),
        couplesPairs_(std::any_of(program_.training.begin(), program_.training.end(),
                                  [](const Op& op) { return op.kind == OpKind::batchNorm; })),
        exchange_(ranks.queue == nullptr ? nullptr
                                         : std::make_unique<comm::GradientExchange>(ranks.queue, ranks.buckets)) {
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

  int64_t rankCount() const override { return exchange_ == nullptr ? 1 : exchange_->queue().size(); }
  Status synchronize(Synchronized what) override;
  CollectiveSeconds collectiveSeconds() const override {
    if (exchange_ == nullptr) return {};
    return {exchange_->queue().waitedSeconds(), exchange_->queue().busySeconds()};
  }
  void cancel() override { runtime_.cancelled.store(true, std::memory_order_relaxed); }

  size_t memory() const override {
    return states_.bytes() + runtime_.bytes() + encoded_.bytes() + pool_.scratchBytes() +
           (optimizer_ == nullptr ? 0 : optimizer_->bytes());
  }

 private:
  size_t bytesOf(int64_t state) const { return static_cast<size_t>(states_.length(state)) * sizeof(float); }
  Status checkShard(const BatchView& batch);
  Status checkStep(const ShardView* shards, int64_t shardCount);
  Status begin(const ShardLoss& loss, const StepSettings& settings);
  Status gatherLosses(ShardLoss* losses);
  uint64_t fingerprint() const;
  ShardLoss seedGradient(const StepSettings& settings);
  Status encodeMissing();
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
  std::vector<comm::Report> reports_;
  // Null for a model on its own. Last, since what it still sends lies above.
  const std::unique_ptr<comm::GradientExchange> exchange_;
};

Status CpuModel::setOptimizer(const OptimizerSettings& settings, const double* words, size_t count, bool keepState) {
  Gradients gradients;
  if (Status status = decodeGradients(words, count, program_, &gradients); !status.ok()) return status;
  Plan plan = planTraining(program_, gradients);
  optimizer_ = std::make_unique<OptimizerState>(settings, gradients.trained, states_,
                                                keepState ? optimizer_.get() : nullptr);
  trainingPlan_ = std::move(plan);
  if (exchange_ != nullptr) {
    const auto ranges = optimizer_->ranges(lastGradientSteps(program_, trainingPlan_));
    exchange_->plan(ranges, optimizer_->gradients(), fingerprint());
  }
  return Status::success();
}

// --- Training --------------------------------------------------------------------------------------------------------

Status CpuModel::trainStep(const ShardView* shards, int64_t shardCount, const StepSettings& settings,
                           ShardLoss* losses) {
  if (Status status = checkStep(shards, shardCount); !status.ok()) return status;
  const bool buffersHere = exchange_ == nullptr || exchange_->queue().rank() == 0;
  for (int64_t i = 0; i < shardCount; i++) {
    const ShardView& shard = shards[i];
    if (Status status = runtime_.layout.bind(shard.batch, *store_); !status.ok()) return status;
    runtime_.labels = shard.batch.labels;
    runtime_.clock = {{shard.key[0], shard.key[1]}, settings.step};
    runtime_.bind(trainingPlan_);
    const auto ops = static_cast<int32_t>(program_.training.size());
    if (!runtime_.forward(program_.training, 0, ops, true, i == 0 && buffersHere)) return cancelled();
    losses[i] = seedGradient(settings);
    // The other ranks must hear of a loss that is not finite.
    if (Status status = exchange_ == nullptr ? checkLoss(losses[i], "") : begin(losses[i], settings); !status.ok()) {
      return status;
    }
    if (losses[i].kept < shard.batch.pairs && !couplesPairs_) {
      std::sort(chosen_.begin(), chosen_.end());
      runtime_.keepPairs(chosen_);
    }
    if (!runtime_.backward(*optimizer_, i > 0, exchange_.get())) return cancelled();
  }
  if (exchange_ != nullptr) {
    if (Status status = gatherLosses(losses); !status.ok()) return status;
  }
  const float mean = 1 / static_cast<float>(exchange_ == nullptr ? shardCount : rankCount());
  optimizer_->step(runtime_.context, states_, mean, settings.lr, settings.momentum);
  encoded_.clear();
  return Status::success();
}

Status CpuModel::checkStep(const ShardView* shards, int64_t shardCount) {
  if (optimizer_ == nullptr) return Status::failure("RELIC_USAGE", "trainStep was called before setOptimizer");
  if (shardCount < 1) {
    return Status::failure("RELIC_BATCH_INVALID", "step: expected at least one shard, received none");
  }
  if (exchange_ != nullptr && shardCount != 1) {
    return Status::failure("RELIC_USAGE", "step of one rank among others: expected its one shard, received " +
                                              std::to_string(shardCount));
  }
  for (int64_t i = 0; i < shardCount; i++) {
    if (Status status = checkShard(shards[i].batch); !status.ok()) return status;
  }
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

// --- Ranks -----------------------------------------------------------------------------------------------------------

// Of what must be the same on every rank.
uint64_t CpuModel::fingerprint() const {
  comm::Fingerprint all;
  for (int64_t state = 0; state < states_.count(); state++) all.add(states_.length(state));
  for (const BackwardStep& step : trainingPlan_.backward) all.add(step.op);
  if (optimizer_ != nullptr) optimizer_->describe(&all);
  return all.value();
}

Status CpuModel::begin(const ShardLoss& loss, const StepSettings& settings) {
  comm::progress().step = settings.step;
  comm::Fingerprint step;
  step.add(settings.step).add(settings.lr).add(settings.momentum);
  step.add(settings.hardExamples).add(settings.keepRatio).add(settings.minKeep);
  return exchange_->begin(loss.lossSum, loss.kept, settings.stop, step.value());
}

// Ends the exchange; what every rank had to say is the same everywhere, and so is what follows from it.
Status CpuModel::gatherLosses(ShardLoss* losses) {
  if (Status status = exchange_->finish(&reports_); !status.ok()) return status;
  for (size_t rank = 0; rank < reports_.size(); rank++) {
    const comm::Report& report = reports_[rank];
    losses[rank] = {report.lossSum, report.kept, report.stop != 0};
    if (Status status = checkLoss(losses[rank], " of rank " + std::to_string(rank)); !status.ok()) return status;
  }
  return Status::success();
}

Status CpuModel::synchronize(Synchronized what) {
  if (exchange_ == nullptr) return Status::success();
  const bool everything = what == Synchronized::everything;
  const uint64_t shape = comm::Fingerprint().add(fingerprint()).add(everything).value();
  if (Status status = exchange_->agree(shape, "what it takes over from rank 0, or in its model"); !status.ok()) {
    return status;
  }
  const size_t from = everything ? 0 : states_.parameterFloats();
  const uint64_t last = exchange_->broadcast(states_.all() + from, states_.bytes() - from * sizeof(float));
  if (Status status = exchange_->queue().wait(last); !status.ok()) return status;
  encoded_.clear();
  return everything && optimizer_ != nullptr ? optimizer_->synchronize(*exchange_) : Status::success();
}

// --- Scoring ---------------------------------------------------------------------------------------------------------

Status CpuModel::evaluate(const BatchView& batch, float* logits, float* losses) {
  if (Status status = runtime_.layout.bind(batch, *store_); !status.ok()) return status;
  if (program_.prefixOps > 0) {
    if (Status status = encodeMissing(); !status.ok()) return status;
    if (Status status = runtime_.layout.bind(batch, *store_); !status.ok()) return status;
  }
  runtime_.labels = batch.labels;
  runtime_.bind(scoringPlan_);
  if (program_.prefixOps > 0) placeEncoded();
  const auto ops = static_cast<int32_t>(program_.scoring.size());
  if (!runtime_.forward(program_.scoring, program_.prefixOps, ops, false, false)) return cancelled();
  const size_t bytes = static_cast<size_t>(batch.pairs) * sizeof(float);
  std::memcpy(logits, runtime_.value(program_.scoringLogits), bytes);
  std::memcpy(losses, runtime_.value(program_.lossPerPair), bytes);
  return Status::success();
}

// Encodes the proteins of the bound batch that are not kept yet; the layout is then theirs.
Status CpuModel::encodeMissing() {
  const std::vector<int32_t>& missing = encoded_.missing(runtime_.layout.proteins);
  if (missing.empty()) return Status::success();
  // Indices were checked with the batch.
  runtime_.layout.bindSequences(missing, *store_);
  runtime_.bind(encodingPlan_);
  if (!runtime_.forward(program_.scoring, 0, program_.prefixOps, false, false)) return cancelled();
  encoded_.keep(runtime_.layout, runtime_.value(program_.prefixOutput), runtime_.cols(program_.prefixOutput));
  return Status::success();
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
    losses += std::max(step.shardCount, rankCount());
  }
  return Status::success();
}

Status Model::create(const double* words, size_t count, std::shared_ptr<Store> store, const CpuOptions& options,
                     std::unique_ptr<Model>* out, const Ranks& ranks) {
  Program program;
  if (Status status = decodeProgram(words, count, &program); !status.ok()) return status;
  if (store->dim() != program.inputDim) {
    return Status::failure("RELIC_EMBEDDING_INVALID", "the embedding store: expected rows of " +
                                                          std::to_string(program.inputDim) + " values, received " +
                                                          std::to_string(store->dim()));
  }
  const std::vector<const char*> rounding = options.bf16 ? bf16Isas() : std::vector<const char*>();
  const bool best = *options.isa == '\0';
  const Kernels* kernels = kernelsFor(best && !rounding.empty() ? rounding.front() : options.isa);
  if (kernels == nullptr) {
    std::string names;
    for (const char* name : availableIsas()) names += (names.empty() ? "" : ", ") + std::string(name);
    return Status::failure("RELIC_ENGINE_UNAVAILABLE", "RELIC_ISA: expected one that this CPU runs: " + names +
                                                           ", received " + options.isa);
  }
  const ProductKernels* product = options.bf16 ? bf16ProductOf(*kernels) : &kernels->product;
  if (product == nullptr) {
    return Status::failure("RELIC_ENGINE_UNAVAILABLE", "bf16 products: expected a CPU and kernels with AVX512_BF16 or AMX, "
                                                       "received " + std::string(kernels->name) + " kernels");
  }
  *out = std::make_unique<CpuModel>(std::move(program), std::move(store), options, *kernels, *product, ranks);
  return Status::success();
}

}  // namespace relic
