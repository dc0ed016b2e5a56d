// Memory of the device, freed with its owner.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "cuda/checked.h"
#include "cuda/device.h"
#include "relic/status.h"

namespace relic::cuda {

class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Buffer() { release(); }

  // At least `bytes` bytes, for `what` in the message of a failure. The contents are lost where it has to grow, by a
  // quarter more than asked, so that ragged batches settle after a few steps. No kernel may still use the old memory.
  Status fit(size_t bytes, const char* what) {
    if (bytes <= bytes_) return Status::success();
    const bool again = bytes_ > 0;
    // Released first: the old and the new one together may not fit.
    release();
    for (const size_t wanted : {again ? bytes + bytes / 4 : bytes, bytes}) {
      const cudaError_t error = cudaMalloc(&data_, wanted);
      if (error == cudaSuccess) {
        bytes_ = wanted;
        changeCount()++;
        return Status::success();
      }
      data_ = nullptr;
      if (wanted == bytes) return failedAllocation(error, bytes, what);
      // The larger one is only a wish.
      cudaGetLastError();
    }
    return Status::success();
  }

  void release() {
    // A failure here would be that of an earlier kernel, which its own synchronisation has told.
    if (data_ != nullptr) {
      cudaFree(data_);
      changeCount()++;
    }
    data_ = nullptr;
    bytes_ = 0;
  }

  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  size_t bytes() const { return bytes_; }

  // Allocations and releases of this process so far: while it stands, every buffer is where it was.
  static int64_t changes() { return changeCount(); }

 private:
  static std::atomic<int64_t>& changeCount() {
    static std::atomic<int64_t> count{0};
    return count;
  }

  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// Page-locked memory of the host, which asynchronous copies need.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;
  ~PinnedBuffer() { release(); }

  // At least `bytes` bytes; the contents are lost where it has to grow.
  Status fit(size_t bytes) {
    if (bytes <= bytes_) return Status::success();
    release();
    const size_t wanted = bytes + bytes / 4;
    if (const cudaError_t error = cudaHostAlloc(&data_, wanted, cudaHostAllocDefault); error != cudaSuccess) {
      data_ = nullptr;
      return failedPinning(error, wanted);
    }
    bytes_ = wanted;
    return Status::success();
  }

  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void release() {
    if (data_ != nullptr) cudaFreeHost(data_);
    data_ = nullptr;
    bytes_ = 0;
  }

  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace relic::cuda
