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

// As JavaScript words it.
std::string wordFor(double notFinite) {
  if (std::isnan(notFinite)) return "NaN";
  return notFinite > 0 ? "Infinity" : "-Infinity";
}

// As native/cpu/hard_examples.cpp counts them.
int64_t pairsToKeep(const StepSettings& settings, int64_t pairs) {
  if (!settings.hardExamples) return pairs;
  const double wanted = std::max(static_cast<double>(settings.minKeep),
                                 std::ceil(static_cast<double>(pairs) * settings.keepRatio));
  // Not above `wanted` also when that is not a number.
  return wanted < static_cast<double>(pairs) ? std::max<int64_t>(0, static_cast<int64_t>(wanted)) : pairs;
}

}  // namespace

std::vector<const void*> GpuModel::storedRows(const Layout& layout) const {
  std::vector<const void*> rows;
  for (const int32_t protein : layout.proteins) rows.push_back(store_.rows(protein));
  return rows;
}

// --- Training --------------------------------------------------------------------------------------------------------

Status GpuModel::trainStep(const ShardView* shards, int64_t shardCount, const StepSettings& settings,
                           ShardLoss* losses) {
  if (optimizer_ == nullptr) return Status::failure("RELIC_USAGE", "trainStep was called before setOptimizer");
  if (shardCount < 1) {
    return Status::failure("RELIC_BATCH_INVALID", "step: expected at least one shard, received none");
  }
  RELIC_TRY(context_.enter());
  for (int64_t rank = 0; rank < shardCount; rank++) RELIC_TRY(checkShard(shards[rank].batch));
  RELIC_TRY(lossSums_.fit(static_cast<size_t>(shardCount) * sizeof(double), "the losses of a step"));
  auto* outcome = outcome_.as<StepOutcome>();
  static_assert(offsetof(StepOutcome, overflowed) == offsetof(StepOutcome, notFinite) + sizeof(int32_t));
  RELIC_CUDA_TRY(cudaMemsetAsync(&outcome->notFinite, 0, 2 * sizeof(int32_t), context_.stream()));
  for (int64_t rank = 0; rank < shardCount; rank++) {
    RELIC_TRY(runShard(shards[rank], settings, rank, &losses[rank]));
  }
  if (compute_ == Format::float16) {
    RELIC_TRY(findOverflow(context_, optimizer_->floats(), optimizer_->gradients(), outcome));
  }
  const float mean = 1 / static_cast<float>(shardCount);
  RELIC_TRY(optimizer_->step(context_, states_, outcome, mean, settings.lr, settings.momentum));
  if (compute_ == Format::float16) RELIC_TRY(updateScale(context_, outcome));
  gradientFactor_ = mean / scale_;
  return finishStep(shardCount, losses);
}

Status GpuModel::runShard(const ShardView& shard, const StepSettings& settings, int64_t rank, ShardLoss* loss) {
  Runtime& runtime = *training_;
  RELIC_TRY(runtime.layout.bind(shard.batch, store_));
  runtime.clock = {{shard.key[0], shard.key[1]}, settings.step};
  RELIC_TRY(runtime.bind(trainingPlan_, storedRows(runtime.layout), store_.format(), shard.batch.labels));
  const auto ops = static_cast<int32_t>(trainingProgram_.training.size());
  RELIC_TRY(runtime.forward(trainingProgram_.training, 0, ops, true, rank == 0));
  const int32_t perPair = trainingProgram_.lossPerPair;
  loss->kept = pairsToKeep(settings, runtime.layout.pairs);
  RELIC_TRY(selectPairs(context_, runtime.layout.pairs, loss->kept, runtime.floats(perPair),
                        static_cast<float*>(runtime.gradient(perPair).data), lossSums_.as<double>() + rank,
                        outcome_.as<StepOutcome>()));
  return runtime.backward(*optimizer_, rank > 0);
}

// Waits for the step and reads what came of it.
Status GpuModel::finishStep(int64_t shardCount, ShardLoss* losses) {
  const size_t sums = static_cast<size_t>(shardCount) * sizeof(double);
  RELIC_TRY(results_.fit(sums + sizeof(StepOutcome)));
  auto* host = results_.as<char>();
  RELIC_CUDA_TRY(cudaMemcpyAsync(host, lossSums_.as<void>(), sums, cudaMemcpyDeviceToHost, context_.stream()));
  RELIC_CUDA_TRY(cudaMemcpyAsync(host + sums, outcome_.as<void>(), sizeof(StepOutcome), cudaMemcpyDeviceToHost,
                                 context_.stream()));
  RELIC_TRY(context_.synchronize());
  StepOutcome outcome;
  std::memcpy(&outcome, host + sums, sizeof outcome);
  scale_ = outcome.scale;
  double notFinite = NAN;
  for (int64_t rank = shardCount - 1; rank >= 0; rank--) {
    std::memcpy(&losses[rank].lossSum, host + rank * static_cast<int64_t>(sizeof(double)), sizeof(double));
    if (!std::isfinite(losses[rank].lossSum)) notFinite = losses[rank].lossSum;
  }
  if (outcome.notFinite != 0) {
    return Status::failure("RELIC_NOT_FINITE", "the training loss: expected a finite number, received " +
                                                   wordFor(notFinite) +
                                                   "\n  fix: lower the learning rate, and check the embeddings for "
                                                   "very large values");
  }
  encoded_.clear();
  if (outcome.overflowed != 0) {
    skippedSteps_++;
  } else {
    optimizer_->count();
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
  std::vector<const void*> rows;
  if (prefix) {
    for (const int32_t protein : runtime.layout.proteins) rows.push_back(encoded_.rows(protein));
  } else {
    rows = storedRows(runtime.layout);
  }
  RELIC_TRY(runtime.bind(scoringPlan_, rows, prefix ? Format::float32 : store_.format(), batch.labels));
  if (prefix) RELIC_TRY(runtime.gatherInto(program.prefixOutput));
  RELIC_TRY(runtime.forward(program.scoring, program.prefixOps, static_cast<int32_t>(program.scoring.size()), false,
                            false));
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

// Encodes the proteins of a batch that are not kept yet.
Status GpuModel::encodeMissing(const BatchView& batch) {
  Runtime& runtime = *scoring_;
  RELIC_TRY(runtime.layout.bind(batch, store_));
  const std::vector<int32_t> missing = encoded_.missing(runtime.layout.proteins);
  if (missing.empty()) return Status::success();
  RELIC_TRY(runtime.layout.bindSequences(missing, store_));
  RELIC_TRY(runtime.bind(encodingPlan_, storedRows(runtime.layout), store_.format(), nullptr));
  RELIC_TRY(runtime.forward(scoringProgram_.scoring, 0, scoringProgram_.prefixOps, false, false));
  const int32_t output = scoringProgram_.prefixOutput;
  RELIC_TRY(encoded_.keep(context_, runtime.layout, runtime.floats(output), runtime.cols(output)));
  return context_.synchronize();
}

}  // namespace relic::cuda
