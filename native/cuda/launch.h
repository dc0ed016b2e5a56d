// Grids for kernels whose threads stride over their work.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cuda/checked.h"
#include "cuda/context.h"

namespace relic::cuda {

constexpr int kThreads = 256;
// Blocks of kThreads that keep a multiprocessor busy.
constexpr int64_t kBlocksPerMultiprocessor = 8;

inline int64_t divideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Blocks of kThreads for `items` items, at most as many as the device holds at once.
inline dim3 gridFor(const Context& context, int64_t items) {
  const int64_t most = context.multiprocessors() * kBlocksPerMultiprocessor;
  return dim3(static_cast<unsigned>(std::clamp<int64_t>(divideUp(items, kThreads), 1, most)));
}

}  // namespace relic::cuda

// Queues a kernel on the context's stream with static shared memory only.
#define RELIC_LAUNCH(context, kernel, grid, block, ...) \
  RELIC_CUDA_TRY(launch(kernel, grid, block, 0, (context).stream(), __VA_ARGS__))
