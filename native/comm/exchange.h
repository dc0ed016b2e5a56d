// What the ranks of a data-parallel run exchange in a training step: gradients, while backward still makes others, and
// what each has to say of its shard.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "comm/buckets.h"
#include "comm/call_queue.h"
#include "relic/status.h"

namespace relic::comm {

// FNV-1a over whatever ranks must have in common.
class Fingerprint {
 public:
  Fingerprint& add(const void* data, size_t bytes);
  template <typename T>
  Fingerprint& add(const T& value) {
    return add(&value, sizeof(value));
  }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xcbf29ce484222325;
};

// RELIC_RANKS, naming the rank. `what` completes "rank 1 differs from rank 0 in".
Status differs(size_t rank, const char* what);

// What one rank says in a step.
struct Report {
  double lossSum;
  int64_t kept;
  // 1: this rank was asked to stop.
  int64_t stop;
  // Equal on all ranks, or they do not train the same thing: what is trained, and the settings of the step.
  uint64_t trained, settings;
};

class GradientExchange {
 public:
  GradientExchange(std::shared_ptr<CallQueue> queue, const BucketSizes& sizes)
      : queue_(std::move(queue)), sizes_(sizes) {}
  // Waits for calls that were posted; where a step broke off between its calls, the others wait in vain, so they are
  // cancelled.
  ~GradientExchange();
  GradientExchange(const GradientExchange&) = delete;
  GradientExchange& operator=(const GradientExchange&) = delete;

  // What is trained changed. `parameters` are ranges of `gradients`, one after another; `trained` is a fingerprint of
  // whatever decides them. No collective: the ranks compare it in the next step.
  void plan(const std::vector<GradientRange>& parameters, float* gradients, uint64_t trained);

  // Before backward. `settings` is a fingerprint of the step's.
  Status begin(double lossSum, int64_t kept, bool stop, uint64_t settings);
  // After each backward step, with its number: the buckets that are final are on their way.
  void completed(int32_t step);
  // Waits until the sums over all ranks are in place. reports (ranks). RELIC_RANKS, naming the rank, when one differs
  // in what it trains or in the step's settings.
  Status finish(std::vector<Report>* reports);

  // data (bytes): those of rank 0. The number of the call, for CallQueue::wait.
  uint64_t broadcast(void* data, size_t bytes);
  // RELIC_RANKS, naming the rank, when one has another fingerprint. `what` completes "rank 1 differs from rank 0 in".
  Status agree(uint64_t fingerprint, const char* what);

  CallQueue& queue() const { return *queue_; }

 private:
  Status checkReports() const;

  const std::shared_ptr<CallQueue> queue_;
  const BucketSizes sizes_;
  std::vector<GradientRange> buckets_;
  float* gradients_ = nullptr;
  uint64_t trained_ = 0;
  // Whether all ranks were seen to have trained_.
  bool agreed_ = false;
  // Of the step.
  Report report_{};
  std::vector<Report> reports_;
  size_t next_ = 0;
  uint64_t last_ = 0;
  bool underway_ = false;
};

}  // namespace relic::comm
