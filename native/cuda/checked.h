// Calls of the CUDA runtime, each one checked: a failure becomes a status that tells the call, the device and the place.
#pragma once

#include <cstddef>
#include <string>

#include "cuda/device.h"
#include "relic/status.h"

namespace relic::cuda {

// The status of a runtime call's error: RELIC_OUT_OF_MEMORY or RELIC_DEVICE_FAILED.
Status failedCall(cudaError_t error, const char* call, const char* file, int line);

// Of an allocation of `bytes` for `what`, as `error` says; tells what is free and which settings need less.
Status failedAllocation(cudaError_t error, size_t bytes, const char* what);

// Of an allocation of page-locked memory of the host.
Status failedPinning(cudaError_t error, size_t bytes);

// "device 0", the current one.
std::string deviceName();

// As the messages write an amount of memory.
std::string gibibytes(size_t bytes);

}  // namespace relic::cuda

// Returns from the calling function with a status when the runtime call fails.
#define RELIC_CUDA_TRY(call)                                                                              \
  do {                                                                                                    \
    if (const cudaError_t error_ = (call); error_ != cudaSuccess) {                                       \
      return relic::cuda::failedCall(error_, #call, __FILE__, __LINE__);                                  \
    }                                                                                                     \
  } while (false)
