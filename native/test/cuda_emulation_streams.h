// What a stream of cuda_emulation.h is, for libraries that queue work of their own on it.
#pragma once

#include <deque>
#include <functional>
#include <vector>

#include "cuda_emulation.h"

struct EmulatedStream {
  struct Item {
    // Null where the work waits for nothing.
    std::function<bool()> ready;
    std::function<void()> work;
  };

  // Queues work that is done once `ready` says so. A pointer, so that a library that is opened at run time needs no symbol.
  cudaError_t (*give)(cudaStream_t stream, std::function<bool()> ready, std::function<void()> work);
  bool eager;
  std::deque<Item> queue;
  bool capturing = false, invalid = false;
  std::vector<std::function<void()>> captured;
};
