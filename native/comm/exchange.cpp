#include "comm/exchange.h"

#include <string>

namespace relic::comm {

Status differs(size_t rank, const char* what) {
  return Status::failure("RELIC_RANKS", "rank " + std::to_string(rank) + " differs from rank 0 in " + what +
                                            "\n  fix: start all ranks with one config, one version and the same files");
}

Fingerprint& Fingerprint::add(const void* data, size_t bytes) {
  const auto* each = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < bytes; i++) value_ = (value_ ^ each[i]) * 0x100000001b3;
  return *this;
}

GradientExchange::~GradientExchange() {
  if (underway_) queue_->cancel();
  queue_->wait(last_);
}

void GradientExchange::plan(const std::vector<GradientRange>& parameters, float* gradients, uint64_t trained) {
  buckets_ = makeBuckets(parameters, sizes_);
  gradients_ = gradients;
  Fingerprint all;
  all.add(trained);
  for (const GradientRange& bucket : buckets_) all.add(bucket.length).add(bucket.readyAfter);
  trained_ = all.value();
  agreed_ = false;
}

Status GradientExchange::begin(double lossSum, int64_t kept, bool stop, uint64_t settings) {
  report_ = {lossSum, kept, stop ? 1 : 0, trained_, settings};
  reports_.resize(static_cast<size_t>(queue_->size()));
  underway_ = true;
  next_ = 0;
  // First, so that its wait is hidden by backward, which needs nothing of it.
  last_ = queue_->post([this](Comm& comm) { return comm.allGather(&report_, sizeof(Report), reports_.data()); });
  if (agreed_) return Status::success();
  // Buckets of other sizes must not meet.
  Status status = queue_->wait(last_);
  if (status.ok()) status = checkReports();
  agreed_ = status.ok();
  underway_ = agreed_;
  return status;
}

void GradientExchange::completed(int32_t step) {
  for (; next_ < buckets_.size() && buckets_[next_].readyAfter <= step; next_++) {
    float* data = gradients_ + buckets_[next_].offset;
    const auto count = static_cast<int64_t>(buckets_[next_].length);
    last_ = queue_->post([data, count](Comm& comm) { return comm.allReduceSum(data, count); });
  }
}

Status GradientExchange::finish(std::vector<Report>* reports) {
  const Status status = queue_->wait(last_);
  underway_ = false;
  if (!status.ok()) return status;
  *reports = reports_;
  return checkReports();
}

Status GradientExchange::checkReports() const {
  for (size_t rank = 1; rank < reports_.size(); rank++) {
    if (reports_[rank].trained != reports_[0].trained) {
      return differs(rank, "what it trains: the program, the trained parameters, the optimizer or the buckets");
    }
    if (reports_[rank].settings != reports_[0].settings) {
      return differs(rank, "its step: the number, the learning rate, the momentum or the mining of hard examples");
    }
  }
  return Status::success();
}

uint64_t GradientExchange::broadcast(void* data, size_t bytes) {
  last_ = queue_->post([data, bytes](Comm& comm) { return comm.broadcast(data, bytes, 0); });
  return last_;
}

Status GradientExchange::agree(uint64_t fingerprint, const char* what) {
  std::vector<uint64_t> all(static_cast<size_t>(queue_->size()));
  Status status = queue_->run(
      [&](Comm& comm) { return comm.allGather(&fingerprint, sizeof(fingerprint), all.data()); });
  for (size_t rank = 1; status.ok() && rank < all.size(); rank++) {
    if (all[rank] != all[0]) status = differs(rank, what);
  }
  return status;
}

}  // namespace relic::comm
