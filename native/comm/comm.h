// Collectives between the ranks of a run: one interface over MPI, Gloo and, for tests, ranks that are threads of one
// process. NCCL works on device memory and queues and is driven by native/cuda.
//
// Every rank makes the same calls in the same order. A call waits until its part is done; one thread at a time makes
// calls.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "relic/status.h"

namespace relic::comm {

class Comm {
 public:
  virtual ~Comm() = default;
  Comm(const Comm&) = delete;
  Comm& operator=(const Comm&) = delete;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Library, version and algorithm, for logs: sums depend on them.
  virtual const std::string& description() const = 0;

  // data (count): the sum over all ranks, in place, the same bytes on each.
  virtual Status allReduceSum(float* data, int64_t count) = 0;
  // data (bytes): those of `root`, on every rank.
  virtual Status broadcast(void* data, size_t bytes, int root) = 0;
  // out (size, bytes): `in` (bytes) of each rank.
  virtual Status allGather(const void* in, size_t bytes, void* out) = 0;

  // Leaves the others in good order, which is itself a collective: no call may follow. Not made once a call failed.
  virtual Status close() { return Status::success(); }

  // From any thread: a call that waits fails soon, and so do all later ones.
  virtual void cancel() = 0;
  // From any thread: whether this process has nothing better to do with its cores than to end the call that waits.
  void setUrgent(bool urgent) { urgent_.store(urgent, std::memory_order_relaxed); }

 protected:
  Comm() = default;
  bool urgent() const { return urgent_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> urgent_{false};
};

}  // namespace relic::comm
