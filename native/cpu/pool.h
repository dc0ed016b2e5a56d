// The engine's threads: the caller and threads - 1 workers, with a static partition of every job.
//
// Part p of a job always holds the same work and always runs on the same thread, so that sums kept by part are added in
// the same order every time. A job started within a job runs on its own thread, part after part.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace relic {

class Pool {
 public:
  // threads >= 1. Where the system refuses a thread, its parts run on the caller.
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return threads_; }

  // How many parts work of this many nanoseconds on one thread is worth: at most threads(), 1 for tiny work.
  int partsFor(double nanoseconds) const;

  // Calls body(part) for part = 0 .. parts - 1 and returns when all are done. One caller at a time.
  template <typename Body>
  void parallelFor(int64_t parts, Body&& body) {
    if (parts <= 0) return;
    using Plain = std::remove_reference_t<Body>;
    run(
        parts, [](void* context, int64_t part) { (*static_cast<Plain*>(context))(part); },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

  // Cuts 0 .. count into at most partsFor(nanoseconds) ranges at multiples of `unit`; calls body(from, to, part).
  template <typename Body>
  void parallelRanges(int64_t count, int64_t unit, double nanoseconds, Body&& body) {
    const int64_t units = (count + unit - 1) / unit;
    const int64_t wanted = partsFor(nanoseconds);
    const int64_t parts = units < wanted ? units : wanted;
    parallelFor(parts, [&](int64_t part) {
      const int64_t to = units * (part + 1) / parts * unit;
      body(units * part / parts * unit, to < count ? to : count, part);
    });
  }

  // 64-byte aligned scratch (floats) of one part for the running job, valid until the next reserve. reserve is called
  // before the job, by its caller, and may throw std::bad_alloc; room is kept, so a steady step allocates nothing.
  void reserve(int64_t parts, size_t floats);
  float* scratch(int64_t part) const { return scratch_.get() + static_cast<size_t>(part) * scratchStride_; }
  size_t scratchBytes() const { return scratchCapacity_ * sizeof(float); }

 private:
  struct Job {
    void (*call)(void* context, int64_t part);
    void* context;
    int64_t parts;
    int64_t shares;
  };
  // What one worker waits on; on a cache line of its own.
  struct alignas(64) Worker {
    std::atomic<const Job*> job{nullptr};
    std::atomic<bool> asleep{false};
    // Where it last ran; -1 before its first job.
    std::atomic<int> core{-1};
    std::mutex mutex;
    std::condition_variable wake;
    std::thread thread;
  };
  struct FreeAligned {
    void operator()(float* p) const;
  };

  void run(int64_t parts, void (*call)(void*, int64_t), void* context);
  static void runShare(const Job& job, int64_t share);
  void give(Worker& worker, const Job* job);
  const Job* take(Worker& worker);
  void work(Worker& worker, int64_t share);
  void spreadOut(Worker& worker);
  void awaitWorkers();

  int threads_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::atomic<int> pending_{0};
  std::atomic<bool> callerAsleep_{false};
  std::atomic<int> callerCore_{-1};
  std::mutex doneMutex_;
  std::condition_variable done_;

  std::unique_ptr<float, FreeAligned> scratch_;
  size_t scratchStride_ = 0;
  size_t scratchCapacity_ = 0;
};

}  // namespace relic
