// Points in the work of a stream, for other streams and the host to wait for.
#pragma once

#include "cuda/checked.h"
#include "cuda/device.h"
#include "relic/status.h"

namespace relic::cuda {

class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() {
    if (event_ != nullptr) cudaEventDestroy(event_);
  }

  Status record(cudaStream_t stream) {
    if (event_ == nullptr) RELIC_CUDA_TRY(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming));
    RELIC_CUDA_TRY(cudaEventRecord(event_, stream));
    return Status::success();
  }
  // Later work of `stream` starts after what was recorded last; at once where nothing was.
  Status holdBack(cudaStream_t stream) const {
    if (event_ != nullptr) RELIC_CUDA_TRY(cudaStreamWaitEvent(stream, event_, 0));
    return Status::success();
  }
  // The host waits likewise.
  Status synchronize() const {
    if (event_ != nullptr) RELIC_CUDA_TRY(cudaEventSynchronize(event_));
    return Status::success();
  }
  // Whether the device has come to it.
  Status query(bool* done) const {
    const cudaError_t error = event_ == nullptr ? cudaSuccess : cudaEventQuery(event_);
    *done = error == cudaSuccess;
    if (error != cudaSuccess && error != cudaErrorNotReady) RELIC_CUDA_TRY(error);
    return Status::success();
  }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace relic::cuda
