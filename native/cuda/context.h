// What every op needs of the device: its stream, its size and scratch memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/buffer.h"
#include "cuda/device.h"
#include "relic/status.h"

namespace relic::cuda {

// Scratch memory by use: one op may need several at once.
enum class Scratch {
  operandA,
  operandB,
  output,
  outputGradient,
  queryGradient,
  keyGradient,
  valueGradient,
  partials,
  count
};

class Context {
 public:
  // Makes `device` current for the calling thread and opens a stream on it.
  Status open(int device);
  ~Context();
  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // To be called first by every entry point: the current device belongs to the thread, and threads change.
  Status enter() const;

  cudaStream_t stream() const { return stream_; }
  int device() const { return device_; }
  int multiprocessors() const { return multiprocessors_; }

  // Memory that the next op with the same `use` overwrites.
  Status scratch(Scratch use, size_t bytes, void** out);
  Status synchronize() const;
  size_t bytes() const;

 private:
  int device_ = 0;
  int multiprocessors_ = 1;
  cudaStream_t stream_ = nullptr;
  Buffer scratch_[static_cast<int>(Scratch::count)];
};

}  // namespace relic::cuda
