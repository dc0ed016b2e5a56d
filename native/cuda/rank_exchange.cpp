#include "cuda/rank_exchange.h"

#include <cstddef>
#include <cstring>
#include <string>

#include "cuda/checked.h"

namespace relic::cuda {

using comm::Report;

void RankExchange::giveUp() {
  if (underway_) comm_->giveUp();
}

Status RankExchange::open(const Context& context) {
  RELIC_TRY(side_.open(context.device()));
  const size_t bytes = static_cast<size_t>(comm_->size() + 1) * sizeof(Report);
  RELIC_TRY(device_.fit(bytes, "what ranks report"));
  return host_.fit(bytes);
}

void RankExchange::plan(const std::vector<comm::GradientRange>& parameters, float* gradients, uint64_t trained) {
  buckets_ = comm::makeBuckets(parameters, sizes_);
  gradients_ = gradients;
  comm::Fingerprint all;
  all.add(trained);
  for (const comm::GradientRange& bucket : buckets_) all.add(bucket.length).add(bucket.readyAfter);
  trained_ = all.value();
  agreed_ = false;
}

Status RankExchange::prepare() {
  if (agreed_) return Status::success();
  // Buckets of other sizes must not meet.
  RELIC_TRY(agree(trained_, "what it trains: the program, the trained parameters, the optimizer or the buckets"));
  agreed_ = true;
  return Status::success();
}

Status RankExchange::begin(const Context& context, const double* lossSum, int64_t kept, bool stop, uint64_t settings) {
  underway_ = true;
  next_ = 0;
  // The step before was waited for: nothing reads it any more.
  auto* report = host_.as<Report>();
  *report = {0, kept, stop ? 1 : 0, trained_, settings};
  RELIC_TRY(computed_.record(context.stream()));
  RELIC_TRY(computed_.holdBack(side_.stream()));
  RELIC_CUDA_TRY(cudaMemcpyAsync(own(), report, sizeof(Report), cudaMemcpyHostToDevice, side_.stream()));
  static_assert(offsetof(Report, lossSum) == 0);
  RELIC_CUDA_TRY(cudaMemcpyAsync(own(), lossSum, sizeof(double), cudaMemcpyDeviceToDevice, side_.stream()));
  // First, so that it is hidden by backward, which needs nothing of it.
  return comm_->allGather(own(), sizeof(Report), all(), side_.stream());
}

Status RankExchange::completed(const Context& context, int32_t step) {
  if (next_ == buckets_.size() || buckets_[next_].readyAfter > step) return Status::success();
  RELIC_TRY(computed_.record(context.stream()));
  RELIC_TRY(computed_.holdBack(side_.stream()));
  for (; next_ < buckets_.size() && buckets_[next_].readyAfter <= step; next_++) {
    const comm::GradientRange& bucket = buckets_[next_];
    RELIC_TRY(comm_->allReduceSum(gradients_ + bucket.offset, bucket.length, side_.stream()));
  }
  return Status::success();
}

Status RankExchange::finish(Context& context, StepOutcome* outcome) {
  const auto ranks = static_cast<size_t>(comm_->size());
  RELIC_CUDA_TRY(cudaMemcpyAsync(host_.as<Report>() + 1, all(), ranks * sizeof(Report), cudaMemcpyDeviceToHost,
                                 side_.stream()));
  RELIC_TRY(done_.record(side_.stream()));
  RELIC_TRY(backward_.record(context.stream()));
  RELIC_TRY(done_.holdBack(context.stream()));
  return checkReports(context, comm_->size(), all(), outcome);
}

Status RankExchange::wait(std::vector<Report>* reports) {
  // Until then this rank computes: it does not wait for others.
  RELIC_TRY(backward_.synchronize());
  RELIC_TRY(comm_->wait(done_, "the gradients' all-reduce"));
  underway_ = false;
  const auto* host = host_.as<Report>() + 1;
  reports->assign(host, host + comm_->size());
  for (size_t rank = 1; rank < reports->size(); rank++) {
    if ((*reports)[rank].settings == (*reports)[0].settings) continue;
    return comm::differs(rank, "its step: the number, the learning rate, the momentum or the mining of hard examples");
  }
  return Status::success();
}

Status RankExchange::broadcast(void* data, size_t bytes) { return comm_->broadcast(data, bytes, 0, side_.stream()); }

Status RankExchange::waitForAll() {
  RELIC_TRY(done_.record(side_.stream()));
  return comm_->wait(done_, "broadcast");
}

Status RankExchange::agree(uint64_t fingerprint, const char* what) {
  std::vector<uint64_t> all(static_cast<size_t>(comm_->size()));
  RELIC_TRY(comm_->allGatherOnHost(&fingerprint, sizeof fingerprint, all.data()));
  for (size_t rank = 1; rank < all.size(); rank++) {
    if (all[rank] != all[0]) return comm::differs(rank, what);
  }
  return Status::success();
}

}  // namespace relic::cuda
