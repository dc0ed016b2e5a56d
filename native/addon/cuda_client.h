// The GPU engine as this addon uses it: librelic_cuda.so (native/cuda/relic_cuda.h), opened when it is first asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "addon/cuda_comm.h"
#include "comm/buckets.h"
#include "cpu/model.h"
#include "cuda/relic_cuda.h"
#include "relic/status.h"

namespace relic {

struct CudaOptions {
  std::string library;
  int32_t device;
  int32_t precision, scoringPrecision;
  // Bytes of the device to plan with; 0 for all that are free.
  uint64_t memoryLimit;
  // Where cuBLASLt may be, in order.
  std::vector<std::string> cublasPaths;
};

// RELIC_ENGINE_UNAVAILABLE when the library cannot be opened, is of another version, or finds no device.
Status cudaDevices(const std::string& library, std::vector<RelicCudaDevice>* devices);

// How a model on a GPU trains together with those of other ranks.
struct CudaRanks {
  // Null for a model on its own. It is open, on the model's device.
  std::shared_ptr<CudaComm> comm;
  comm::BucketSizes buckets;
};

// A model that runs on the GPU. `words` is an encoded program.
Status createCudaModel(const CudaOptions& options, const double* words, size_t count, std::shared_ptr<Store> store,
                       const CudaRanks& ranks, std::unique_ptr<Model>* out);

}  // namespace relic
