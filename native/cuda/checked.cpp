#include "cuda/checked.h"

#include <cstdio>
#include <cstring>

namespace relic::cuda {
std::string gibibytes(size_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GiB", static_cast<double>(bytes) / (1024.0 * 1024.0 * 1024.0));
  return text;
}

std::string deviceName() {
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return "no device";
  return "device " + std::to_string(device);
}

Status failedCall(cudaError_t error, const char* call, const char* file, int line) {
  // Where the tree lay when this was compiled tells nothing.
  const char* inTree = std::strstr(file, "native/");
  const std::string text = std::string(cudaGetErrorName(error)) + " (" + std::to_string(static_cast<int>(error)) +
                           ", " + cudaGetErrorString(error) + ") from " + call + " on " + deviceName() + " at " +
                           (inTree == nullptr ? file : inTree) + ":" + std::to_string(line);
  // Reads the error away where it can be: the next call then tells of its own.
  cudaGetLastError();
  if (error == cudaErrorMemoryAllocation) {
    return Status::failure("RELIC_OUT_OF_MEMORY", "the GPU has no memory left: " + text);
  }
  return Status::failure("RELIC_DEVICE_FAILED",
                         "the GPU failed: " + text + "\n  fix: run again from the last checkpoint; nvidia-smi and the "
                                                     "system's log tell of broken hardware");
}

Status failedPinning(cudaError_t error, size_t bytes) {
  if (error != cudaErrorMemoryAllocation) return failedCall(error, "cudaHostAlloc", __FILE__, __LINE__);
  cudaGetLastError();
  return Status::failure("RELIC_OUT_OF_MEMORY",
                         "the machine has no page-locked memory left for what a batch sends to the GPU: it needs " +
                             gibibytes(bytes) +
                             "\n  fix: a smaller data_config.dataloader.batch_size or max_sequence_length, or a higher "
                             "limit of locked memory (ulimit -l)");
}

Status failedAllocation(cudaError_t error, size_t bytes, const char* what) {
  if (error != cudaErrorMemoryAllocation) return failedCall(error, "cudaMalloc", __FILE__, __LINE__);
  cudaGetLastError();
  size_t free = 0, total = 0;
  std::string room;
  if (cudaMemGetInfo(&free, &total) == cudaSuccess) {
    room = "; " + gibibytes(free) + " of " + gibibytes(total) + " are free";
  }
  return Status::failure("RELIC_OUT_OF_MEMORY",
                         "the GPU has no memory left for " + std::string(what) + ": it needs " + gibibytes(bytes) +
                             room +
                             "\n  fix: a smaller data_config.dataloader.batch_size or max_sequence_length, "
                             "device_config.use_mixed_precision: true, or a GPU with more memory");
}

}  // namespace relic::cuda
