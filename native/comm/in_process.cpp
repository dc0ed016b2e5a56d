#include "comm/in_process.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>

#include "comm/progress.h"

namespace relic::comm {
namespace {

using std::chrono::milliseconds;

constexpr const char* kAllReduce = "all-reduce";
constexpr const char* kAllGather = "all-gather";
constexpr const char* kBroadcast = "broadcast";

// What one rank brings to a collective.
struct Part {
  const char* what;
  size_t size;
  const void* in;
  void* out;
  int root;
};

// Where the ranks meet. The last one to come does the work of all, in the memory of each, while the others wait.
class Group {
 public:
  Group(int size, int64_t timeoutMs, std::vector<Fault> faults)
      : timeoutMs_(timeoutMs), faults_(std::move(faults)), parts_(static_cast<size_t>(size)), present_(parts_.size()) {}

  int size() const { return static_cast<int>(parts_.size()); }

  Status meet(int rank, int64_t call, const Part& part, const std::atomic<bool>& cancelled) {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto until = [&](int64_t ms, const auto& ready) {
      return changed_.wait_for(lock, milliseconds(ms), [&] { return cancelled.load() || ready(); });
    };
    for (const Fault& fault : faults_) {
      if (fault.rank != rank || fault.call != call) continue;
      if (fault.kind == Fault::Kind::delay) until(fault.ms, [] { return false; });
      if (fault.kind == Fault::Kind::hang) changed_.wait(lock, [&] { return cancelled.load(); });
      if (fault.kind == Fault::Kind::drop) fail("rank " + std::to_string(rank) + " dropped out");
    }
    if (cancelled) return failure("the call was cancelled");
    if (!failure_.empty()) return failure(failure_);
    parts_[static_cast<size_t>(rank)] = part;
    present_[static_cast<size_t>(rank)] = true;
    const int64_t generation = generation_;
    if (std::all_of(present_.begin(), present_.end(), [](bool here) { return here; })) {
      work();
      std::fill(present_.begin(), present_.end(), false);
      generation_++;
      changed_.notify_all();
    } else if (!until(timeoutMs_, [&] { return generation_ != generation || !failure_.empty(); })) {
      fail("after " + std::to_string(timeoutMs_) + " ms there is no sign of rank" + absent() + " in " + part.what);
    }
    // Work that was done in time counts, whatever happened to the group since.
    if (generation_ != generation && failedAt_ != generation) return Status::success();
    return failure(cancelled ? "the call was cancelled" : failure_);
  }

  void wake() {
    const std::lock_guard<std::mutex> lock(mutex_);
    changed_.notify_all();
  }

 private:
  static Status failure(const std::string& why) {
    return Status::failure("RELIC_RANKS", "communication between ranks failed: " + why);
  }

  void fail(const std::string& why) {
    if (failure_.empty()) {
      failure_ = why;
      failedAt_ = generation_;
    }
    changed_.notify_all();
  }

  std::string absent() const {
    std::string names;
    for (size_t rank = 0; rank < present_.size(); rank++) {
      if (!present_[rank]) names += (names.empty() ? " " : ", ") + std::to_string(rank);
    }
    return names;
  }

  void work() {
    const Part& first = parts_[0];
    for (size_t rank = 1; rank < parts_.size(); rank++) {
      const Part& part = parts_[rank];
      if (std::strcmp(part.what, first.what) == 0 && part.size == first.size && part.root == first.root) continue;
      return fail("rank " + std::to_string(rank) + " makes " + part.what + " of " + std::to_string(part.size) +
                  " bytes, rank 0 " + first.what + " of " + std::to_string(first.size));
    }
    if (first.what == kAllReduce) return sum();
    if (first.what == kAllGather) return gather();
    for (const Part& part : parts_) {
      const void* root = parts_[static_cast<size_t>(first.root)].in;
      if (part.out != root) std::memcpy(part.out, root, first.size);
    }
  }

  void gather() {
    for (const Part& to : parts_) {
      auto* out = static_cast<char*>(to.out);
      for (const Part& from : parts_) {
        std::memcpy(out, from.in, from.size);
        out += from.size;
      }
    }
  }

  void sum() {
    const size_t count = parts_[0].size / sizeof(float);
    sum_.assign(static_cast<const float*>(parts_[0].in), static_cast<const float*>(parts_[0].in) + count);
    for (size_t rank = 1; rank < parts_.size(); rank++) {
      const auto* values = static_cast<const float*>(parts_[rank].in);
      for (size_t i = 0; i < count; i++) sum_[i] += values[i];
    }
    for (const Part& part : parts_) std::copy_n(sum_.data(), count, static_cast<float*>(part.out));
  }

  const int64_t timeoutMs_;
  const std::vector<Fault> faults_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Part> parts_;
  std::vector<bool> present_;
  int64_t generation_ = 0, failedAt_ = -1;
  std::string failure_;
  std::vector<float> sum_;
};

class InProcessComm : public Comm {
 public:
  InProcessComm(std::shared_ptr<Group> group, int rank)
      : group_(std::move(group)),
        rank_(rank),
        description_("threads of one process, rank " + std::to_string(rank) + " of " + std::to_string(group_->size())) {}

  int rank() const override { return rank_; }
  int size() const override { return group_->size(); }
  const std::string& description() const override { return description_; }

  Status allReduceSum(float* data, int64_t count) override {
    return meet({kAllReduce, static_cast<size_t>(count) * sizeof(float), data, data, 0});
  }
  Status broadcast(void* data, size_t bytes, int root) override {
    return meet({kBroadcast, bytes, data, data, root});
  }
  Status allGather(const void* in, size_t bytes, void* out) override {
    return meet({kAllGather, bytes, in, out, 0});
  }

  void cancel() override {
    cancelled_ = true;
    group_->wake();
  }

 private:
  Status meet(const Part& part) {
    const InCollective mark(part.what);
    return group_->meet(rank_, call_++, part, cancelled_);
  }

  const std::shared_ptr<Group> group_;
  const int rank_;
  const std::string description_;
  int64_t call_ = 0;
  std::atomic<bool> cancelled_{false};
};

}  // namespace

std::vector<std::unique_ptr<Comm>> makeInProcessRanks(int size, int64_t timeoutMs, const std::vector<Fault>& faults) {
  const auto group = std::make_shared<Group>(size, timeoutMs, faults);
  std::vector<std::unique_ptr<Comm>> ranks;
  for (int rank = 0; rank < size; rank++) ranks.push_back(std::make_unique<InProcessComm>(group, rank));
  return ranks;
}

}  // namespace relic::comm
