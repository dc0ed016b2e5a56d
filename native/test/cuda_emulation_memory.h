// Between the files of the emulated runtime: memory that ends where a page does, followed by one that may not be touched,
// and what fails.
#pragma once

#include <cstddef>

#include "cuda_emulation.h"

namespace relic::emulation {

class GuardedMemory {
 public:
  GuardedMemory() = default;
  ~GuardedMemory();
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;

  // Its old contents are lost. Rounded up to a multiple of 16 bytes. False when the system has no memory.
  bool resize(size_t bytes);
  void* begin() const { return begin_; }
  // Fills all bytes with 0xff, which is NaN in every float type, and the room before begin() with a pattern.
  void poison();
  // Whether the pattern before begin() is still there.
  bool intact() const;

 private:
  void release();

  unsigned char* pages_ = nullptr;
  unsigned char* begin_ = nullptr;
  size_t used_ = 0;    // bytes from begin_ to the guard
  size_t mapped_ = 0;  // bytes from pages_, guard included
};

// What every call returns once the device is broken.
cudaError_t fault();
// Whether a stream is being captured, which then fails: a call that may not be made meanwhile.
bool refusesWhileCapturing();

}  // namespace relic::emulation
