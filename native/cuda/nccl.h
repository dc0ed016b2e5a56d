// Collectives between GPUs by NCCL, whose library is opened at run time. Communicators are non-blocking, so that they can
// be given up: every wait has a deadline of our own, and giveUp() ends it from any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/buffer.h"
#include "cuda/context.h"
#include "cuda/events.h"
#include "cuda/nccl_api.h"
#include "cuda/relic_cuda.h"
#include "relic/status.h"

namespace relic::cuda {

// The first of `paths` that works; it stays open. RELIC_ENGINE_UNAVAILABLE with what is wrong with each.
Status openNccl(const std::vector<std::string>& paths, nccl::Functions* out);

// One rank of a communicator. Collectives are queued on a stream; all ranks make the same ones in the same order. They
// fail with RELIC_RANKS, and all later ones too.
class NcclComm {
 public:
  // Collective: waits for all ranks, for options.timeout_ms at the most.
  static Status open(const RelicCudaCommOptions& options, std::unique_ptr<NcclComm>* out);
  // Gives up what is still under way.
  ~NcclComm();
  NcclComm(const NcclComm&) = delete;
  NcclComm& operator=(const NcclComm&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  int device() const { return context_.device(); }
  const std::string& description() const { return description_; }

  // data (count), on the device: the sum over all ranks, in place, the same bytes on each.
  Status allReduceSum(float* data, size_t count, cudaStream_t stream);
  // out (size, bytes): `in` (bytes) of each rank; on the device.
  Status allGather(const void* in, size_t bytes, void* out, cudaStream_t stream);
  // data (bytes), on the device: those of rank `root`.
  Status broadcast(void* data, size_t bytes, int root, cudaStream_t stream);
  // Waits until the device has come to `event`, which was recorded behind collectives. `what`, a string literal, is what
  // a watchdog is told.
  Status wait(const Event& event, const char* what);

  // Whole collectives over memory of the host.
  Status allReduceSumOnHost(float* data, size_t count);
  Status allGatherOnHost(const void* in, size_t bytes, void* out);
  Status broadcastOnHost(void* data, size_t bytes, int root);

  // Leaves the others in good order: collective, and no call may follow.
  Status close();
  // From any thread: whatever waits fails soon.
  void giveUp();

  // For which wait() waited.
  double waitedSeconds() const { return waited_; }

 private:
  using Call = std::function<nccl::Result(nccl::Communicator*)>;

  NcclComm(const nccl::Functions& functions, int rank, int size, int64_t timeoutMs)
      : f_(functions), rank_(rank), size_(size), timeoutMs_(timeoutMs) {}

  Status connect(const RelicCudaCommOptions& options);
  // Makes one call of NCCL and waits until the library is done with it; the device may not be.
  Status call(const char* name, int line, const Call& call);
  // Until the library is no longer busy with the communicator.
  Status settle(const char* name, int line, int64_t startMs);
  Status checkAsync(const char* name, int line, bool* busy);
  // Gives the communicator up. The status of the first failure stays that of all later calls.
  Status fail(const std::string& why);
  Status failedResult(nccl::Result result, const char* name, int line);
  Status late(const char* what);
  Status onHost(const void* in, size_t bytesIn, void* out, size_t bytesOut, const char* what,
                const std::function<Status(char*)>& queue);

  const nccl::Functions f_;
  const int rank_, size_;
  const int64_t timeoutMs_;
  std::string description_;
  // Of calls of NCCL on the communicator, which must not overlap.
  std::mutex mutex_;
  nccl::Communicator* comm_ = nullptr;
  std::string failure_;
  std::atomic<double> waited_{0};
  Buffer staging_;
  Event done_;
  Context context_;
};

}  // namespace relic::cuda

// What the C interface hands out; models share the communicator.
struct RelicCudaComm {
  std::shared_ptr<relic::cuda::NcclComm> comm;
};
