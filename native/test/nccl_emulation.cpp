// A small NCCL for ranks that are threads or models of one process, on emulated streams (cuda_emulation_streams.h): a library
// that is opened in its stead. As the real one it is done with a call at once, and with the work when all ranks have
// come to it; a communicator that is given up lets its work go by undone.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/nccl_api.h"
#include "cuda_emulation_streams.h"

using relic::cuda::nccl::Communicator;
using relic::cuda::nccl::Config;
using relic::cuda::nccl::Result;
using relic::cuda::nccl::UniqueId;

namespace {

constexpr Result kSuccess = relic::cuda::nccl::kSuccess, kInProgress = relic::cuda::nccl::kInProgress;
constexpr Result kInvalidArgument = 4, kInvalidUsage = 5, kRemoteError = 6;

enum class Kind { allReduce, allGather, broadcast };

// What the ranks bring to one collective.
struct Meeting {
  struct Part {
    Kind kind;
    const char* in;
    char* out;
    size_t bytes;
    int root;
    // What `in` held when the stream came to the collective: later is too late, as on a device.
    std::vector<char> taken = {};
  };
  std::map<int, Part> parts;
  bool done = false, wrong = false;
};

struct Group {
  std::mutex mutex;
  int size = 0;
  std::vector<bool> here;
  std::map<int64_t, Meeting> meetings;
};

std::mutex groupsMutex;
std::map<std::string, std::shared_ptr<Group>> groups;
std::atomic<int> ids{0};

void work(Meeting& meeting, size_t size) {
  const Meeting::Part& first = meeting.parts.at(0);
  for (const auto& [rank, part] : meeting.parts) {
    if (part.kind == first.kind && part.bytes == first.bytes && part.root == first.root) continue;
    meeting.wrong = true;
    return;
  }
  std::vector<char> result(first.kind == Kind::allGather ? first.bytes * size : first.bytes);
  if (first.kind == Kind::broadcast) std::memcpy(result.data(), meeting.parts.at(first.root).taken.data(), first.bytes);
  for (const auto& [rank, part] : meeting.parts) {
    if (first.kind == Kind::allGather) {
      std::memcpy(result.data() + static_cast<size_t>(rank) * part.bytes, part.taken.data(), part.bytes);
    }
    if (first.kind != Kind::allReduce) continue;
    for (size_t i = 0; i + sizeof(float) <= part.bytes; i += sizeof(float)) {
      float sum = 0, value;
      std::memcpy(&value, part.taken.data() + i, sizeof value);
      if (rank > 0) std::memcpy(&sum, result.data() + i, sizeof sum);
      sum = rank > 0 ? sum + value : value;
      std::memcpy(result.data() + i, &sum, sizeof sum);
    }
  }
  for (const auto& [rank, part] : meeting.parts) std::memcpy(part.out, result.data(), result.size());
}

}  // namespace

namespace relic::cuda::nccl {

struct Communicator {
  std::shared_ptr<Group> group;
  int rank;
  int64_t calls = 0;
  std::shared_ptr<std::atomic<bool>> aborted = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<std::atomic<bool>> wrong = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace relic::cuda::nccl

namespace {

Result queue(Communicator* comm, const Meeting::Part& part, cudaStream_t stream) {
  const auto group = comm->group;
  const int64_t call = comm->calls++;
  const int rank = comm->rank;
  const auto aborted = comm->aborted, wrong = comm->wrong;
  // The stream has come to it: this rank's data may be read, and written until the work is over.
  const auto ready = [=] {
    const std::lock_guard<std::mutex> lock(group->mutex);
    if (*aborted) return true;
    Meeting& meeting = group->meetings[call];
    if (const auto [own, added] = meeting.parts.emplace(rank, part); added) {
      own->second.taken.assign(part.in, part.in + part.bytes);
    }
    if (!meeting.done && meeting.parts.size() == static_cast<size_t>(group->size)) {
      work(meeting, meeting.parts.size());
      meeting.done = true;
    }
    if (meeting.wrong) *wrong = true;
    return meeting.done && !meeting.wrong;
  };
  return stream->give(stream, ready, [] {}) == cudaSuccess ? kSuccess : 1;
}

}  // namespace

extern "C" {

#define EXPORTED __attribute__((visibility("default")))

EXPORTED Result ncclGetVersion(int* version) {
  *version = 22807;
  return kSuccess;
}

EXPORTED Result ncclGetUniqueId(UniqueId* id) {
  std::memset(id->internal, 0, sizeof id->internal);
  std::snprintf(id->internal, sizeof id->internal, "group %d", ids++);
  return kSuccess;
}

EXPORTED Result ncclCommInitRankConfig(Communicator** comm, int size, UniqueId id, int rank, Config* config) {
  if (config->magic != 0xcafebeef || config->blocking != 0 || rank < 0 || rank >= size) return kInvalidArgument;
  std::shared_ptr<Group> group;
  {
    const std::lock_guard<std::mutex> lock(groupsMutex);
    auto& known = groups[std::string(id.internal, sizeof id.internal)];
    if (known == nullptr) {
      known = std::make_shared<Group>();
      known->size = size;
      known->here.resize(static_cast<size_t>(size));
    }
    group = known;
  }
  const std::lock_guard<std::mutex> lock(group->mutex);
  if (group->size != size || group->here[static_cast<size_t>(rank)]) return kInvalidUsage;
  group->here[static_cast<size_t>(rank)] = true;
  *comm = new Communicator{group, rank};
  return kInProgress;
}

EXPORTED Result ncclCommGetAsyncError(Communicator* comm, Result* error) {
  const std::lock_guard<std::mutex> lock(comm->group->mutex);
  const auto& here = comm->group->here;
  *error = std::all_of(here.begin(), here.end(), [](bool is) { return is; }) ? kSuccess : kInProgress;
  if (*comm->wrong) *error = kRemoteError;
  return kSuccess;
}

EXPORTED Result ncclCommFinalize(Communicator*) { return kSuccess; }

EXPORTED Result ncclCommDestroy(Communicator* comm) {
  delete comm;
  return kSuccess;
}

EXPORTED Result ncclCommAbort(Communicator* comm) {
  {
    // No rank works on the memory of this one any more.
    const std::lock_guard<std::mutex> lock(comm->group->mutex);
    *comm->aborted = true;
    for (auto& [call, meeting] : comm->group->meetings) {
      if (!meeting.done) meeting.parts.erase(comm->rank);
    }
  }
  delete comm;
  return kSuccess;
}

EXPORTED const char* ncclGetErrorString(Result result) {
  return result == kRemoteError ? "remote error" : result == kSuccess ? "no error" : "invalid usage";
}

EXPORTED const char* ncclGetLastError(Communicator*) { return ""; }

EXPORTED Result ncclAllReduce(const void* in, void* out, size_t count, int type, int op, Communicator* comm,
                              cudaStream_t stream) {
  if (type != relic::cuda::nccl::kFloat32 || op != relic::cuda::nccl::kSum) return kInvalidArgument;
  return queue(comm, {Kind::allReduce, static_cast<const char*>(in), static_cast<char*>(out), count * sizeof(float), 0},
               stream);
}

EXPORTED Result ncclAllGather(const void* in, void* out, size_t count, int, Communicator* comm, cudaStream_t stream) {
  return queue(comm, {Kind::allGather, static_cast<const char*>(in), static_cast<char*>(out), count, 0}, stream);
}

EXPORTED Result ncclBroadcast(const void* in, void* out, size_t count, int, int root, Communicator* comm,
                              cudaStream_t stream) {
  return queue(comm, {Kind::broadcast, static_cast<const char*>(in), static_cast<char*>(out), count, root}, stream);
}

}  // extern "C"
