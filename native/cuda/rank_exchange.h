// What the ranks of a data-parallel run exchange in a training step, on GPUs: the twin of native/comm/exchange.h. Sums are
// made by NCCL on a stream of its own while backward goes on.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "comm/buckets.h"
#include "comm/exchange.h"
#include "cuda/buffer.h"
#include "cuda/context.h"
#include "cuda/events.h"
#include "cuda/nccl.h"
#include "cuda/ops.h"
#include "relic/status.h"

namespace relic::cuda {

class RankExchange {
 public:
  RankExchange(std::shared_ptr<NcclComm> comm, const comm::BucketSizes& sizes)
      : comm_(std::move(comm)), sizes_(sizes) {}
  RankExchange(const RankExchange&) = delete;
  RankExchange& operator=(const RankExchange&) = delete;

  Status open(const Context& context);
  // As GradientExchange::plan; `gradients` are on the device.
  void plan(const std::vector<comm::GradientRange>& parameters, float* gradients, uint64_t trained);

  // Before anything of a step is queued. Compares what is trained, when that is new.
  Status prepare();
  // After the loss sum, one double on the device, was queued. `settings` is a fingerprint of the step's.
  Status begin(const Context& context, const double* lossSum, int64_t kept, bool stop, uint64_t settings);
  // After each backward step was queued, with its number: the buckets that are final follow.
  Status completed(const Context& context, int32_t step);
  // Holds the work that is queued next back until sums and reports are there; `outcome` learns of losses, on any rank, that
  // are no numbers.
  Status finish(Context& context, StepOutcome* outcome);
  // Waits on the host. reports (ranks). RELIC_RANKS when one differs in the step's settings.
  Status wait(std::vector<comm::Report>* reports);

  // Gives the communicator up where a step broke off between its collectives: the others wait in vain, and so would the
  // end of the streams.
  void giveUp();

  // data (bytes), on the device: those of rank 0. Queued; see waitForAll.
  Status broadcast(void* data, size_t bytes);
  Status waitForAll();
  // RELIC_RANKS, naming the rank, when one has another fingerprint. `what` completes "rank 1 differs from rank 0 in".
  Status agree(uint64_t fingerprint, const char* what);

  NcclComm& comm() const { return *comm_; }
  size_t bytes() const { return device_.bytes(); }

 private:
  comm::Report* own() const { return device_.as<comm::Report>(); }
  comm::Report* all() const { return own() + 1; }

  const std::shared_ptr<NcclComm> comm_;
  const comm::BucketSizes sizes_;
  std::vector<comm::GradientRange> buckets_;
  float* gradients_ = nullptr;
  uint64_t trained_ = 0;
  bool agreed_ = false;
  // Of the step.
  size_t next_ = 0;
  bool underway_ = false;

  Buffer device_;      // the report of this rank, then those of all
  PinnedBuffer host_;  // likewise
  Event computed_, backward_, done_;
  Context side_;
};

// Sets outcome->notFinite when one of the loss sums (ranks) is no finite number.
Status checkReports(Context& context, int64_t ranks, const comm::Report* reports, StepOutcome* outcome);

}  // namespace relic::cuda
