// The functions of librelic_cuda.so, which is opened when it is first asked for.
#pragma once

#include <string>

#include "cuda/relic_cuda.h"
#include "relic/status.h"

namespace relic {

// Every function of the interface, as a member of its own name without the prefix.
#define RELIC_CUDA_FUNCTIONS(visit) \
  visit(abi_version)                \
  visit(last_error)                 \
  visit(devices)                    \
  visit(create)                     \
  visit(destroy)                    \
  visit(describe)                   \
  visit(state_count)                \
  visit(state_length)               \
  visit(write_state)                \
  visit(read_state)                 \
  visit(read_gradient)              \
  visit(read_moments)               \
  visit(write_moments)              \
  visit(set_optimizer)              \
  visit(train_steps)                \
  visit(evaluate)                   \
  visit(synchronize)                \
  visit(rank_count)                 \
  visit(collective_seconds)         \
  visit(nccl_id)                    \
  visit(comm_open)                  \
  visit(comm_destroy)               \
  visit(comm_describe)              \
  visit(comm_all_reduce_sum)        \
  visit(comm_all_gather)            \
  visit(comm_broadcast)             \
  visit(comm_close)                 \
  visit(comm_give_up)               \
  visit(memory)

struct CudaLibrary {
#define RELIC_MEMBER(name) decltype(&relic_cuda_##name) name;
  RELIC_CUDA_FUNCTIONS(RELIC_MEMBER)
#undef RELIC_MEMBER

  // The status of a call that returned `result`.
  Status status(int result) const {
    if (result == 0) return Status::success();
    const char *code = "", *message = "";
    last_error(&code, &message);
    return Status::failure(code, message);
  }
};

// The library at a path. RELIC_ENGINE_UNAVAILABLE when it cannot be opened, or is of another version.
Status cudaLibraryAt(const std::string& path, const CudaLibrary** out);

}  // namespace relic
