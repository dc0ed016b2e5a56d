#include "cuda/nccl.h"

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "comm/progress.h"
#include "cuda/checked.h"

namespace relic::cuda {
namespace {

using comm::steadyMs;
using std::chrono::microseconds;

// The first whose configuration has the fields of nccl_api.h.
constexpr int kLeastVersion = 21800;
constexpr auto kShortestPause = microseconds(20), kLongestPause = microseconds(500);

template <typename Function>
bool resolve(void* library, const char* name, Function* out) {
  *out = reinterpret_cast<Function>(dlsym(library, name));
  return *out != nullptr;
}

bool resolveAll(void* library, nccl::Functions* f) {
  return resolve(library, "ncclGetVersion", &f->getVersion) &&
         resolve(library, "ncclGetUniqueId", &f->getUniqueId) &&
         resolve(library, "ncclCommInitRankConfig", &f->commInitRankConfig) &&
         resolve(library, "ncclCommFinalize", &f->commFinalize) &&
         resolve(library, "ncclCommDestroy", &f->commDestroy) && resolve(library, "ncclCommAbort", &f->commAbort) &&
         resolve(library, "ncclCommGetAsyncError", &f->commGetAsyncError) &&
         resolve(library, "ncclGetErrorString", &f->getErrorString) &&
         resolve(library, "ncclGetLastError", &f->getLastError) && resolve(library, "ncclAllReduce", &f->allReduce) &&
         resolve(library, "ncclAllGather", &f->allGather) && resolve(library, "ncclBroadcast", &f->broadcast);
}

// What is wrong with a library, or nothing. It stays open: its threads do not survive being unloaded.
std::string tryOpen(const std::string& path, nccl::Functions* out) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* error = dlerror();
    return error == nullptr ? "cannot be opened" : error;
  }
  if (!resolveAll(library, out)) return "lacks a function of NCCL 2.18";
  int version = 0;
  if (const nccl::Result result = out->getVersion(&version); result != nccl::kSuccess) {
    return std::string("ncclGetVersion: ") + out->getErrorString(result);
  }
  if (version >= kLeastVersion) return "";
  return "is of version " + std::to_string(version) + ", older than " + std::to_string(kLeastVersion);
}

// Sleeps a little longer each time.
class Pause {
 public:
  void sleep() {
    std::this_thread::sleep_for(next_);
    next_ = std::min(2 * next_, kLongestPause);
  }

 private:
  microseconds next_ = kShortestPause;
};

}  // namespace

Status openNccl(const std::vector<std::string>& paths, nccl::Functions* out) {
  std::string tried;
  for (const std::string& path : paths) {
    const std::string wrong = tryOpen(path, out);
    if (wrong.empty()) return Status::success();
    tried += "\n  " + path + ": " + wrong;
  }
  return Status::failure("RELIC_ENGINE_UNAVAILABLE",
                         "the GPU engine found no NCCL that works, which ranks need:" + tried +
                             "\n  fix: install NCCL 2.18 or later or the Python package nvidia-nccl-cu13, or set "
                             "RELIC_NCCL to the file of libnccl.so");
}

Status NcclComm::open(const RelicCudaCommOptions& options, std::unique_ptr<NcclComm>* out) {
  const std::vector<std::string> paths(options.nccl_paths, options.nccl_paths + options.nccl_path_count);
  nccl::Functions functions{};
  RELIC_TRY(openNccl(paths, &functions));
  out->reset(new NcclComm(functions, options.rank, options.size, options.timeout_ms));
  const Status status = (*out)->connect(options);
  if (!status.ok()) out->reset();
  return status;
}

Status NcclComm::connect(const RelicCudaCommOptions& options) {
  RELIC_TRY(context_.open(options.device));
  const comm::InCollective mark("opening NCCL");
  nccl::UniqueId id;
  std::memcpy(id.internal, options.id, sizeof id.internal);
  nccl::Config config;
  config.blocking = 0;
  const int64_t startMs = steadyMs();
  nccl::Result result = nccl::kSuccess;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    result = f_.commInitRankConfig(&comm_, size_, id, rank_, &config);
  }
  if (result != nccl::kSuccess && result != nccl::kInProgress) {
    return failedResult(result, "ncclCommInitRankConfig", __LINE__);
  }
  RELIC_TRY(settle("ncclCommInitRankConfig", __LINE__, startMs));
  int version = 0;
  f_.getVersion(&version);
  description_ = "NCCL " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
                 std::to_string(version % 100) + ", rank " + std::to_string(rank_) + " of " + std::to_string(size_) +
                 " on " + deviceName();
  return Status::success();
}

NcclComm::~NcclComm() {
  context_.enter();
  giveUp();
}

void NcclComm::giveUp() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (failure_.empty()) failure_ = "it was given up";
  // Nothing can be done about a failure to give up.
  if (comm_ != nullptr) f_.commAbort(comm_);
  comm_ = nullptr;
}

Status NcclComm::fail(const std::string& why) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (failure_.empty()) failure_ = why;
  }
  giveUp();
  return Status::failure("RELIC_RANKS", "communication between GPUs failed: " + failure_);
}

Status NcclComm::failedResult(nccl::Result result, const char* name, int line) {
  std::string why = std::string(f_.getErrorString(result)) + " (" + std::to_string(result);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const char* last = comm_ == nullptr ? nullptr : f_.getLastError(comm_);
    if (last != nullptr && *last != 0) why += std::string(", ") + last;
  }
  return fail(why + ") from " + name + " on " + deviceName() + ", rank " + std::to_string(rank_) + " of " +
              std::to_string(size_) + ", at native/cuda/nccl.cpp:" + std::to_string(line) +
              "\n  fix: NCCL_DEBUG=INFO tells more");
}

Status NcclComm::late(const char* what) {
  return fail("after " + std::to_string(timeoutMs_) + " ms rank " + std::to_string(rank_) + " of " +
              std::to_string(size_) + " still waits on " + deviceName() + " in " + what +
              ": another rank is stuck or gone");
}

Status NcclComm::checkAsync(const char* name, int line, bool* busy) {
  nccl::Result state = nccl::kSuccess, result = nccl::kSuccess;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (comm_ != nullptr) result = f_.commGetAsyncError(comm_, &state);
    if (comm_ == nullptr) {
      return Status::failure("RELIC_RANKS", "communication between GPUs failed: " + failure_);
    }
  }
  if (result == nccl::kSuccess) result = state;
  *busy = result == nccl::kInProgress;
  return *busy || result == nccl::kSuccess ? Status::success() : failedResult(result, name, line);
}

Status NcclComm::settle(const char* name, int line, int64_t startMs) {
  for (Pause pause;; pause.sleep()) {
    bool busy = false;
    RELIC_TRY(checkAsync(name, line, &busy));
    if (!busy) return Status::success();
    if (steadyMs() - startMs > timeoutMs_) return late(name);
  }
}

Status NcclComm::call(const char* name, int line, const Call& call) {
  const int64_t startMs = steadyMs();
  nccl::Result result = nccl::kSuccess;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (comm_ != nullptr) result = call(comm_);
    if (comm_ == nullptr) return Status::failure("RELIC_RANKS", "communication between GPUs failed: " + failure_);
  }
  if (result == nccl::kSuccess) return Status::success();
  return result == nccl::kInProgress ? settle(name, line, startMs) : failedResult(result, name, line);
}

Status NcclComm::allReduceSum(float* data, size_t count, cudaStream_t stream) {
  return call("ncclAllReduce", __LINE__, [&](nccl::Communicator* comm) {
    return f_.allReduce(data, data, count, nccl::kFloat32, nccl::kSum, comm, stream);
  });
}

Status NcclComm::allGather(const void* in, size_t bytes, void* out, cudaStream_t stream) {
  return call("ncclAllGather", __LINE__, [&](nccl::Communicator* comm) {
    return f_.allGather(in, out, bytes, nccl::kInt8, comm, stream);
  });
}

Status NcclComm::broadcast(void* data, size_t bytes, int root, cudaStream_t stream) {
  return call("ncclBroadcast", __LINE__, [&](nccl::Communicator* comm) {
    return f_.broadcast(data, data, bytes, nccl::kInt8, root, comm, stream);
  });
}

Status NcclComm::wait(const Event& event, const char* what) {
  const comm::InCollective mark(what);
  const auto start = std::chrono::steady_clock::now();
  const int64_t startMs = steadyMs();
  for (Pause pause;; pause.sleep()) {
    bool done = false, busy = false;
    // First: once a communicator is given up, its collectives end without having done their work.
    RELIC_TRY(checkAsync(what, __LINE__, &busy));
    RELIC_TRY(event.query(&done));
    if (done) break;
    if (steadyMs() - startMs > timeoutMs_) return late(what);
  }
  bool busy = false;
  RELIC_TRY(checkAsync(what, __LINE__, &busy));
  waited_ = waited_ + std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return Status::success();
}

Status NcclComm::onHost(const void* in, size_t bytesIn, void* out, size_t bytesOut, const char* what,
                        const std::function<Status(char*)>& queue) {
  RELIC_TRY(context_.enter());
  RELIC_TRY(staging_.fit(std::max(bytesIn, bytesOut) + bytesIn, "what ranks tell each other"));
  auto* device = staging_.as<char>();
  RELIC_CUDA_TRY(cudaMemcpyAsync(device, in, bytesIn, cudaMemcpyHostToDevice, context_.stream()));
  RELIC_TRY(queue(device));
  RELIC_TRY(done_.record(context_.stream()));
  RELIC_TRY(wait(done_, what));
  RELIC_CUDA_TRY(cudaMemcpyAsync(out, device + (bytesOut > bytesIn ? bytesIn : 0), bytesOut, cudaMemcpyDeviceToHost,
                                 context_.stream()));
  return context_.synchronize();
}

Status NcclComm::allReduceSumOnHost(float* data, size_t count) {
  const size_t bytes = count * sizeof(float);
  return onHost(data, bytes, data, bytes, "all-reduce", [&](char* device) {
    return allReduceSum(reinterpret_cast<float*>(device), count, context_.stream());
  });
}

Status NcclComm::allGatherOnHost(const void* in, size_t bytes, void* out) {
  const size_t all = bytes * static_cast<size_t>(size_);
  // Apart also where there is one rank alone.
  return onHost(in, bytes, out, all, "all-gather", [&](char* device) {
    return allGather(device, bytes, size_ == 1 ? device : device + bytes, context_.stream());
  });
}

Status NcclComm::broadcastOnHost(void* data, size_t bytes, int root) {
  return onHost(data, bytes, data, bytes, "broadcast",
                [&](char* device) { return broadcast(device, bytes, root, context_.stream()); });
}

Status NcclComm::close() {
  const comm::InCollective mark("closing NCCL");
  RELIC_TRY(call("ncclCommFinalize", __LINE__, [&](nccl::Communicator* comm) { return f_.commFinalize(comm); }));
  RELIC_TRY(settle("ncclCommFinalize", __LINE__, steadyMs()));
  const std::lock_guard<std::mutex> lock(mutex_);
  if (comm_ == nullptr) return Status::success();
  const nccl::Result result = f_.commDestroy(comm_);
  comm_ = nullptr;
  failure_ = "it was closed: no call may follow";
  if (result == nccl::kSuccess) return Status::success();
  return Status::failure("RELIC_RANKS", std::string("ncclCommDestroy: ") + f_.getErrorString(result));
}

}  // namespace relic::cuda
