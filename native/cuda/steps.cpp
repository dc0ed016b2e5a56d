// Whole steps and scorings of a model. Nothing waits for the device but the end of each call.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "cuda/checked.h"
#include "cuda/model.h"
#include "cuda/ops.h"

namespace relic::cuda {
namespace {

// As native/cpu/hard_examples.cpp counts them.
int64_t pairsToKeep(const StepSettings& settings, int64_t pairs) {
  if (!settings.hardExamples) return pairs;
  const double wanted = std::max(static_cast<double>(settings.minKeep),
                                 std::ceil(static_cast<double>(pairs) * settings.keepRatio));
  // Not above `wanted` also when that is not a number.
  return wanted < static_cast<double>(pairs) ? std::max<int64_t>(0, static_cast<int64_t>(wanted)) : pairs;
}

}  // namespace

Status lossNotFinite(double lossSum, const std::string& whose) {
  // As JavaScript words it.
  const char* word = std::isnan(lossSum) ? "NaN" : lossSum > 0 ? "Infinity" : "-Infinity";
  return Status::failure("RELIC_NOT_FINITE", "the training loss" + whose + ": expected a finite number, received " + word +
                                                 "\n  fix: lower the learning rate, and check the embeddings for very "
                                                 "large values");
}

// --- Training --------------------------------------------------------------------------------------------------------

Status GpuModel::trainStep(const ShardView* shards, int64_t shardCount, const StepSettings& settings,
                           ShardLoss* losses) {
  const StepView step{shards, shardCount, settings};
  int64_t done = 0;
  return trainSteps(&step, 1, losses, &done);
}

Status GpuModel::trainSteps(const StepView* steps, int64_t count, ShardLoss* losses, int64_t* done) {
  *done = 0;
  if (optimizer_ == nullptr) return Status::failure("RELIC_USAGE", "trainStep was called before setOptimizer");
  RELIC_TRY(context_.enter());
  RELIC_TRY(checkSteps(steps, count));
  if (exchange_ != nullptr) {
    // Every rank must hear of every loss.
    for (; *done < count; ++*done, losses += rankCount()) RELIC_TRY(trainWithRanks(steps[*done], losses));
    return Status::success();
  }
  int64_t widest = 0;
  for (int64_t i = 0; i < count; i++) widest = std::max(widest, steps[i].shardCount);
  RELIC_TRY(beginSteps(count, widest));
  Status queued = Status::success();
  for (int64_t i = 0; i < count && queued.ok(); i++) queued = queueStep(steps[i]);
  // What was queued before a failure took place, and counts.
  const Status collected = collect(steps, count, losses, done);
  return queued.ok() ? collected : queued;
}

Status GpuModel::beginSteps(int64_t count, int64_t widest) {
  bytesPerRecord_ = std::max(bytesPerRecord_, recordBytes(widest));
  RELIC_TRY(lossSums_.fit(static_cast<size_t>(widest) * sizeof(double), "the losses of a step"));
  RELIC_TRY(records_.fit(static_cast<size_t>(count) * bytesPerRecord_, "the losses of some steps"));
  auto* outcome = outcome_.as<StepOutcome>();
  static_assert(offsetof(StepOutcome, overflowed) == offsetof(StepOutcome, notFinite) + sizeof(int32_t));
  RELIC_CUDA_TRY(cudaMemsetAsync(&outcome->notFinite, 0, 2 * sizeof(int32_t), context_.stream()));
  RELIC_CUDA_TRY(cudaMemsetAsync(&outcome->recorded, 0, sizeof outcome->recorded, context_.stream()));
  return Status::success();
}

Status GpuModel::checkSteps(const StepView* steps, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    if (steps[i].shardCount < 1) {
      return Status::failure("RELIC_BATCH_INVALID", "step: expected at least one shard, received none");
    }
    for (int64_t rank = 0; rank < steps[i].shardCount; rank++) RELIC_TRY(checkShard(steps[i].shards[rank].batch));
  }
  return Status::success();
}

Status GpuModel::queueStep(const StepView& step) {
  RELIC_TRY(prepareStep(step));
  RELIC_TRY(graphs_.run(context_, signature(), [this] { return launchStep(); }));
  return store_.release(context_);
}

Status GpuModel::prepareStep(const StepView& step) {
  shards_.resize(static_cast<size_t>(step.shardCount));
  proteins_.clear();
  for (size_t rank = 0; rank < shards_.size(); rank++) {
    PreparedShard& shard = shards_[rank];
    const ShardView& view = step.shards[rank];
    RELIC_TRY(shard.layout.bind(view.batch, store_));
    shard.key[0] = view.key[0];
    shard.key[1] = view.key[1];
    shard.kept = pairsToKeep(step.settings, shard.layout.pairs);
    proteins_.insert(proteins_.end(), shard.layout.proteins.begin(), shard.layout.proteins.end());
  }
  RELIC_TRY(store_.bind(context_, proteins_, &rows_));
  training_->batch.begin({step.settings.lr, step.settings.momentum, step.settings.step});
  const void* const* rows = rows_.data();
  for (size_t rank = 0; rank < shards_.size(); rank++) {
    PreparedShard& shard = shards_[rank];
    shard.lists = training_->addShard(shard.layout, rows, step.shards[rank].batch.labels);
    rows += shard.layout.proteins.size();
  }
  return training_->batch.send(context_);
}

std::vector<int64_t> GpuModel::signature() const {
  std::vector<int64_t> result = {Buffer::changes(), static_cast<int64_t>(bytesPerRecord_)};
  for (const PreparedShard& shard : shards_) {
    // Lengths decide the work lists, and so where the lists begin and how many tiles there are.
    result.insert(result.end(), {shard.layout.pairs, shard.kept, shard.key[0], shard.key[1]});
    result.insert(result.end(), shard.layout.offsets.begin(), shard.layout.offsets.end());
  }
  return result;
}

Status GpuModel::launchStep() {
  const auto count = static_cast<int64_t>(shards_.size());
  auto* outcome = outcome_.as<StepOutcome>();
  for (int64_t rank = 0; rank < count; rank++) RELIC_TRY(launchShard(shards_[static_cast<size_t>(rank)], rank));
  if (exchange_ != nullptr) RELIC_TRY(exchange_->finish(context_, outcome));
  // An overflow on one rank is one in the sums of all.
  const bool scales = compute_ == Format::float16;
  if (scales) RELIC_TRY(findOverflow(context_, optimizer_->floats(), optimizer_->gradients(), outcome));
  RELIC_TRY(optimizer_->step(context_, states_, outcome, training_->batch.inputs(),
                             1 / static_cast<float>(exchange_ == nullptr ? count : rankCount())));
  return closeStep(context_, count, lossSums_.as<double>(), scales, outcome, records_.as<char>(), bytesPerRecord_);
}

Status GpuModel::launchShard(const PreparedShard& shard, int64_t rank) {
  Runtime& runtime = *training_;
  runtime.layout = shard.layout;
  runtime.key[0] = shard.key[0];
  runtime.key[1] = shard.key[1];
  RELIC_TRY(runtime.bind(trainingPlan_, shard.lists, store_.format()));
  const auto ops = static_cast<int32_t>(trainingProgram_.training.size());
  const bool buffersHere = exchange_ == nullptr || exchange_->comm().rank() == 0;
  RELIC_TRY(runtime.forward(trainingProgram_.training, 0, ops, true, rank == 0 && buffersHere));
  const int32_t perPair = trainingProgram_.lossPerPair;
  RELIC_TRY(selectPairs(context_, runtime.layout.pairs, shard.kept, runtime.floats(perPair),
                        static_cast<float*>(runtime.gradient(perPair).data), lossSums_.as<double>() + rank,
                        outcome_.as<StepOutcome>()));
  if (exchange_ != nullptr) RELIC_TRY(beginExchange());
  return runtime.backward(*optimizer_, rank > 0, exchange_.get());
}

Status GpuModel::collect(const StepView* steps, int64_t count, ShardLoss* losses, int64_t* done) {
  const size_t bytes = static_cast<size_t>(count) * bytesPerRecord_;
  RELIC_TRY(results_.fit(sizeof(StepOutcome) + bytes));
  auto* host = results_.as<char>();
  RELIC_CUDA_TRY(cudaMemcpyAsync(host, outcome_.as<void>(), sizeof(StepOutcome), cudaMemcpyDeviceToHost,
                                 context_.stream()));
  RELIC_CUDA_TRY(cudaMemcpyAsync(host + sizeof(StepOutcome), records_.as<void>(), bytes, cudaMemcpyDeviceToHost,
                                 context_.stream()));
  RELIC_TRY(context_.synchronize());
  StepOutcome outcome;
  std::memcpy(&outcome, host, sizeof outcome);
  applied_ = outcome.applied;
  optimizer_->advance(applied_);
  encoded_.clear();
  for (int64_t i = 0; i < std::min(count, outcome.recorded); i++) {
    const char* place = host + sizeof(StepOutcome) + static_cast<size_t>(i) * bytesPerRecord_;
    StepRecord record;
    std::memcpy(&record, place, sizeof record);
    double notFinite = NAN;
    for (int64_t rank = steps[i].shardCount - 1; rank >= 0; rank--) {
      std::memcpy(&losses[rank].lossSum, place + recordBytes(rank), sizeof(double));
      losses[rank].kept = pairsToKeep(steps[i].settings, steps[i].shards[rank].batch.pairs);
      if (!std::isfinite(losses[rank].lossSum)) notFinite = losses[rank].lossSum;
    }
    gradientFactor_ = 1 / static_cast<float>(steps[i].shardCount) / record.scale;
    if (record.notFinite != 0) {
      return lossNotFinite(notFinite, "");
    }
    if (record.overflowed != 0) skippedSteps_++;
    losses += steps[i].shardCount;
    ++*done;
  }
  return Status::success();
}

// Whatever a training forward could find wrong with a batch, before anything is changed.
Status GpuModel::checkShard(const BatchView& batch) {
  RELIC_TRY(training_->layout.bind(batch, store_));
  for (const Op& op : trainingProgram_.training) {
    if (op.kind != OpKind::batchNorm) continue;
    const int64_t rows = training_->rows(op.inputs[0]);
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

// --- Scoring ---------------------------------------------------------------------------------------------------------

Status GpuModel::evaluate(const BatchView& batch, float* logits, float* losses) {
  RELIC_TRY(context_.enter());
  Runtime& runtime = *scoring_;
  const Program& program = scoringProgram_;
  const bool prefix = program.prefixOps > 0;
  if (prefix) RELIC_TRY(encodeMissing(batch));
  RELIC_TRY(runtime.layout.bind(batch, store_));
  if (prefix) {
    rows_.clear();
    for (const int32_t protein : runtime.layout.proteins) rows_.push_back(encoded_.rows(protein));
  } else {
    RELIC_TRY(store_.bind(context_, runtime.layout.proteins, &rows_));
  }
  RELIC_TRY(bindScoring(scoringPlan_, rows_, prefix ? encoded_.format() : store_.format(), batch.labels));
  if (prefix) RELIC_TRY(runtime.gatherInto(program.prefixOutput));
  RELIC_TRY(runtime.forward(program.scoring, program.prefixOps, static_cast<int32_t>(program.scoring.size()), false,
                            false));
  if (!prefix) RELIC_TRY(store_.release(context_));
  const size_t bytes = static_cast<size_t>(batch.pairs) * sizeof(float);
  RELIC_TRY(results_.fit(2 * bytes));
  auto* host = results_.as<char>();
  RELIC_CUDA_TRY(cudaMemcpyAsync(host, runtime.floats(program.scoringLogits), bytes, cudaMemcpyDeviceToHost,
                                 context_.stream()));
  RELIC_CUDA_TRY(cudaMemcpyAsync(host + bytes, runtime.floats(program.lossPerPair), bytes, cudaMemcpyDeviceToHost,
                                 context_.stream()));
  RELIC_TRY(context_.synchronize());
  std::memcpy(logits, host, bytes);
  std::memcpy(losses, host + bytes, bytes);
  return Status::success();
}

Status GpuModel::bindScoring(const Plan& plan, const std::vector<const void*>& rows, Format format,
                             const float* labels) {
  Runtime& runtime = *scoring_;
  runtime.batch.begin({0, 0, 0});
  const BatchLists lists = runtime.addShard(runtime.layout, rows.data(), labels);
  RELIC_TRY(runtime.batch.send(context_));
  return runtime.bind(plan, lists, format);
}

// Encodes the proteins of a batch that are not kept yet.
Status GpuModel::encodeMissing(const BatchView& batch) {
  Runtime& runtime = *scoring_;
  RELIC_TRY(runtime.layout.bind(batch, store_));
  const std::vector<int32_t> missing = encoded_.missing(runtime.layout.proteins);
  if (missing.empty()) return Status::success();
  RELIC_TRY(runtime.layout.bindSequences(missing, store_));
  RELIC_TRY(store_.bind(context_, missing, &rows_));
  RELIC_TRY(bindScoring(encodingPlan_, rows_, store_.format(), nullptr));
  RELIC_TRY(runtime.forward(scoringProgram_.scoring, 0, scoringProgram_.prefixOps, false, false));
  RELIC_TRY(store_.release(context_));
  const int32_t output = scoringProgram_.prefixOutput;
  return encoded_.keep(context_, runtime.layout, runtime.value(output), runtime.cols(output));
}

}  // namespace relic::cuda
