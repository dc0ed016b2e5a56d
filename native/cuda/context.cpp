#include "cuda/context.h"

namespace relic::cuda {

Status Context::open(int device) {
  device_ = device;
  RELIC_TRY(enter());
  cudaDeviceProp facts;
  RELIC_CUDA_TRY(cudaGetDeviceProperties(&facts, device));
  multiprocessors_ = facts.multiProcessorCount;
  RELIC_CUDA_TRY(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  return Status::success();
}

Context::~Context() {
  if (stream_ == nullptr) return;
  // Kernels must have ended before what they use is freed; what went wrong was told by the call that queued them.
  cudaStreamSynchronize(stream_);
  cudaStreamDestroy(stream_);
}

Status Context::enter() const {
  RELIC_CUDA_TRY(cudaSetDevice(device_));
  return Status::success();
}

Status Context::scratch(Scratch use, size_t bytes, void** out) {
  Buffer& buffer = scratch_[static_cast<int>(use)];
  if (bytes > buffer.bytes()) {
    RELIC_TRY(synchronize());
    RELIC_TRY(buffer.fit(bytes, "the scratch memory of an op"));
  }
  *out = buffer.as<void>();
  return Status::success();
}

Status Context::synchronize() const {
  RELIC_CUDA_TRY(cudaStreamSynchronize(stream_));
  return Status::success();
}

size_t Context::bytes() const {
  size_t total = 0;
  for (const Buffer& buffer : scratch_) total += buffer.bytes();
  return total;
}

}  // namespace relic::cuda
