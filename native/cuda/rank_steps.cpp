// Steps of a model that is one rank among others, and what it takes over from rank 0.
#include <cmath>
#include <cstddef>
#include <string>

#include "comm/progress.h"
#include "cuda/checked.h"
#include "cuda/model.h"

namespace relic::cuda {

uint64_t GpuModel::fingerprint() const {
  comm::Fingerprint all;
  all.add(compute_);
  for (int64_t state = 0; state < states_.count(); state++) all.add(states_.length(state));
  for (const BackwardStep& step : trainingPlan_.backward) all.add(step.op);
  if (optimizer_ != nullptr) optimizer_->describe(&all);
  return all.value();
}

Status GpuModel::trainWithRanks(const StepView& step, ShardLoss* losses) {
  if (step.shardCount != 1) {
    return Status::failure("RELIC_USAGE", "step of one rank among others: expected its one shard, received " +
                                              std::to_string(step.shardCount));
  }
  comm::progress().step = step.settings.step;
  RELIC_TRY(exchange_->prepare());
  settings_ = step.settings;
  RELIC_TRY(beginSteps(1, 1));
  RELIC_TRY(prepareStep(step));
  RELIC_TRY(launchStep());
  RELIC_TRY(store_.release(context_));
  RELIC_TRY(exchange_->wait(&reports_));
  ShardLoss own;
  int64_t done = 0;
  const Status collected = collect(&step, 1, &own, &done);
  gradientFactor_ /= static_cast<float>(rankCount());
  for (size_t rank = 0; rank < reports_.size(); rank++) {
    const comm::Report& report = reports_[rank];
    losses[rank] = {report.lossSum, report.kept, report.stop != 0};
    if (!std::isfinite(report.lossSum)) return lossNotFinite(report.lossSum, " of rank " + std::to_string(rank));
  }
  return collected;
}

Status GpuModel::beginExchange() {
  comm::Fingerprint step;
  step.add(settings_.step).add(settings_.lr).add(settings_.momentum);
  step.add(settings_.hardExamples).add(settings_.keepRatio).add(settings_.minKeep);
  return exchange_->begin(context_, lossSums_.as<double>(), shards_[0].kept, settings_.stop, step.value());
}

Status GpuModel::synchronize(Synchronized what) {
  if (exchange_ == nullptr) return Status::success();
  RELIC_TRY(context_.enter());
  const bool everything = what == Synchronized::everything;
  const uint64_t shape = comm::Fingerprint().add(fingerprint()).add(everything).value();
  RELIC_TRY(exchange_->agree(shape, "what it takes over from rank 0, or in its model"));
  // Collectives have a stream of their own.
  RELIC_TRY(context_.synchronize());
  const size_t from = everything ? 0 : states_.parameterFloats();
  if (from < states_.floats()) {
    RELIC_TRY(exchange_->broadcast(states_.all() + from, (states_.floats() - from) * sizeof(float)));
  }
  // The loss scale, and how long it has stood.
  if (everything) RELIC_TRY(exchange_->broadcast(outcome_.as<void>(), offsetof(StepOutcome, notFinite)));
  RELIC_TRY(exchange_->waitForAll());
  encoded_.clear();
  RELIC_TRY(states_.renewCopy(context_));
  if (everything && optimizer_ != nullptr) RELIC_TRY(optimizer_->synchronize(context_, *exchange_));
  return context_.synchronize();
}

CollectiveSeconds GpuModel::collectiveSeconds() const {
  if (exchange_ == nullptr) return {};
  const double waited = exchange_->comm().waitedSeconds();
  return {waited, waited};
}

}  // namespace relic::cuda
