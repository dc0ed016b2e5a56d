// One rank of a communicator of NCCL, as librelic_cuda.so has it. The thread of a CallQueue opens and closes it, like those
// of ranks on the CPU; a model on the GPU makes its collectives by itself, through the handle.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "addon/cuda_library.h"
#include "comm/comm.h"
#include "relic/status.h"

namespace relic {

struct CudaCommOptions {
  std::string library;
  int32_t device = 0, rank = 0, size = 1;
  std::vector<uint8_t> id;
  // Where NCCL may be, in order.
  std::vector<std::string> ncclPaths;
  int64_t timeoutMs = 0;
};

class CudaComm {
 public:
  // Collective. From then on a watchdog's end of the process gives the communicator up first.
  Status open(const CudaCommOptions& options);
  CudaComm() = default;
  ~CudaComm();
  CudaComm(const CudaComm&) = delete;
  CudaComm& operator=(const CudaComm&) = delete;

  // Null before it is open.
  RelicCudaComm* handle() const { return handle_; }
  const CudaLibrary& library() const { return *library_; }
  // From any thread, once it is open: whatever waits fails soon, and so does all that follows.
  void cancel();

 private:
  const CudaLibrary* library_ = nullptr;
  RelicCudaComm* handle_ = nullptr;
};

// Opens `shared` and makes a Comm of it, for CallQueue::start.
Status openCudaComm(const CudaCommOptions& options, const std::shared_ptr<CudaComm>& shared,
                    std::unique_ptr<comm::Comm>* out);

// What rank 0 hands to all ranks, for CudaCommOptions::id.
Status ncclId(const std::string& library, const std::vector<std::string>& ncclPaths, std::vector<uint8_t>* id);

}  // namespace relic
