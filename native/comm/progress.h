// How far this process is, for its watchdog: which collectives it has entered, and whether it waits in one. Written by
// the threads that compute and communicate, read by the watchdog's.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace relic::comm {

struct Progress {
  std::atomic<int64_t> step{0};
  // Collectives entered so far: equal numbers are the same collective on every rank.
  std::atomic<uint64_t> entered{0};
  std::atomic<bool> waiting{false};
  // On the steady clock, when the last collective was entered.
  std::atomic<int64_t> enteredAtMs{0};
  // A string literal.
  std::atomic<const char*> what{""};
};

// Of this process. A library that was opened at run time has a copy of its own until it is told whose to use: that of
// the addon, which its watchdog reads.
inline std::atomic<Progress*>& sharedProgress() {
  static Progress own;
  static std::atomic<Progress*> shared{&own};
  return shared;
}
inline Progress& progress() { return *sharedProgress(); }
inline void shareProgress(Progress* progress) { sharedProgress() = progress; }

inline int64_t steadyMs() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

// While it lives, this rank is in a collective. `what` is a string literal.
class InCollective {
 public:
  explicit InCollective(const char* what) {
    Progress& p = progress();
    p.what = what;
    p.enteredAtMs = steadyMs();
    p.entered++;
    p.waiting = true;
  }
  ~InCollective() { progress().waiting = false; }
  InCollective(const InCollective&) = delete;
  InCollective& operator=(const InCollective&) = delete;
};

}  // namespace relic::comm
