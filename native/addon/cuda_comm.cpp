#include "addon/cuda_comm.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "comm/process_end.h"
#include "comm/progress.h"

namespace relic {
namespace {

// Of this process, for the end of it.
std::mutex openMutex;
std::vector<const CudaComm*>& openComms() {
  static std::vector<const CudaComm*> list;
  return list;
}

void giveUpAll() {
  const std::lock_guard<std::mutex> lock(openMutex);
  for (const CudaComm* each : openComms()) each->library().comm_give_up(each->handle());
}

std::vector<const char*> pointersTo(const std::vector<std::string>& texts) {
  std::vector<const char*> pointers;
  for (const std::string& text : texts) pointers.push_back(text.c_str());
  return pointers;
}

class NcclRank : public comm::Comm {
 public:
  NcclRank(std::shared_ptr<CudaComm> comm, int rank, int size)
      : comm_(std::move(comm)),
        rank_(rank),
        size_(size),
        description_(library().comm_describe(comm_->handle())) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const std::string& description() const override { return description_; }

  Status allReduceSum(float* data, int64_t count) override {
    return library().status(library().comm_all_reduce_sum(comm_->handle(), data, count));
  }
  Status broadcast(void* data, size_t bytes, int root) override {
    return library().status(library().comm_broadcast(comm_->handle(), data, bytes, root));
  }
  Status allGather(const void* in, size_t bytes, void* out) override {
    return library().status(library().comm_all_gather(comm_->handle(), in, bytes, out));
  }
  Status close() override { return library().status(library().comm_close(comm_->handle())); }
  void cancel() override { comm_->cancel(); }

 private:
  const CudaLibrary& library() const { return comm_->library(); }

  const std::shared_ptr<CudaComm> comm_;
  const int rank_, size_;
  const std::string description_;
};

}  // namespace

Status CudaComm::open(const CudaCommOptions& options) {
  if (Status status = cudaLibraryAt(options.library, &library_); !status.ok()) return status;
  const std::vector<const char*> paths = pointersTo(options.ncclPaths);
  // The library has a watchdog's progress of its own otherwise, which nobody reads.
  const RelicCudaCommOptions call{options.device, options.rank, options.size,      options.id.data(),
                                  paths.data(),   paths.size(), options.timeoutMs, &comm::progress()};
  RelicCudaComm* opened = nullptr;
  if (Status status = library_->status(library_->comm_open(&call, &opened)); !status.ok()) return status;
  const std::lock_guard<std::mutex> lock(openMutex);
  handle_ = opened;
  openComms().push_back(this);
  comm::setAbortHook(giveUpAll);
  return Status::success();
}

CudaComm::~CudaComm() {
  if (handle_ == nullptr) return;
  const std::lock_guard<std::mutex> lock(openMutex);
  openComms().erase(std::remove(openComms().begin(), openComms().end(), this), openComms().end());
  library_->comm_destroy(handle_);
}

void CudaComm::cancel() { library_->comm_give_up(handle_); }

Status openCudaComm(const CudaCommOptions& options, const std::shared_ptr<CudaComm>& shared,
                    std::unique_ptr<comm::Comm>* out) {
  if (Status status = shared->open(options); !status.ok()) return status;
  *out = std::make_unique<NcclRank>(shared, options.rank, options.size);
  return Status::success();
}

Status ncclId(const std::string& library, const std::vector<std::string>& ncclPaths, std::vector<uint8_t>* id) {
  const CudaLibrary* opened = nullptr;
  if (Status status = cudaLibraryAt(library, &opened); !status.ok()) return status;
  const std::vector<const char*> paths = pointersTo(ncclPaths);
  id->resize(RELIC_CUDA_ID_BYTES);
  return opened->status(opened->nccl_id(paths.data(), paths.size(), id->data()));
}

}  // namespace relic
