// What is used of NCCL, declared here, since its header is no part of the CUDA toolkit. Names, values and layouts are those
// of nccl.h (NVIDIA, "NCCL User Guide", 2.30); docs/gpu/README.md tells how they were compared with it.
#pragma once

#include <climits>
#include <cstddef>
#include <cstdint>

#include "cuda/device.h"

namespace relic::cuda::nccl {

using Result = int;
constexpr Result kSuccess = 0, kInProgress = 7;
constexpr int kSum = 0;
constexpr int kInt8 = 0, kFloat32 = 7;

struct Communicator;

struct UniqueId {
  char internal[128];
};

// The fields that NCCL 2.18 knew: a library reads no more than `size` bytes, and takes its defaults for later fields.
struct Config {
  size_t size = 44;
  unsigned magic = 0xcafebeef;
  unsigned version = 21800;
  int blocking = INT_MIN;
  int cgaClusterSize = INT_MIN;
  int minCTAs = INT_MIN;
  int maxCTAs = INT_MIN;
  const char* netName = nullptr;
  int splitShare = INT_MIN;
};
static_assert(offsetof(Config, splitShare) + sizeof(int) == 44);

struct Functions {
  Result (*getVersion)(int* version);
  Result (*getUniqueId)(UniqueId* id);
  Result (*commInitRankConfig)(Communicator** comm, int ranks, UniqueId id, int rank, Config* config);
  Result (*commFinalize)(Communicator* comm);
  Result (*commDestroy)(Communicator* comm);
  Result (*commAbort)(Communicator* comm);
  Result (*commGetAsyncError)(Communicator* comm, Result* error);
  const char* (*getErrorString)(Result result);
  const char* (*getLastError)(Communicator* comm);
  Result (*allReduce)(const void* in, void* out, size_t count, int type, int op, Communicator* comm,
                      cudaStream_t stream);
  Result (*allGather)(const void* in, void* out, size_t count, int type, Communicator* comm, cudaStream_t stream);
  Result (*broadcast)(const void* in, void* out, size_t count, int type, int root, Communicator* comm,
                      cudaStream_t stream);
};

}  // namespace relic::cuda::nccl
