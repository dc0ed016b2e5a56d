#include "pool.h"

#include <new>
#include <system_error>

namespace relic {
namespace {

// A waiting thread first only pauses, for some 2 us; then it offers its core between looks, for about a millisecond,
// which is longer than the gaps of a step and matters where two of our threads found themselves on one core; then it
// sleeps.
constexpr int kPauses = 30;
constexpr int kYields = 2000;
// Starting a job on spinning threads costs about 2 us; a part must be worth several times that.
constexpr double kPartNanoseconds = 8000;

// True while this thread runs a part: jobs inside it stay on the thread.
thread_local bool insideJob = false;

// Stands for "stop" in a worker's job slot.
const char kStopTag = 0;

void pauseBriefly() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Looks for a while; returns whether ready() became true.
template <typename Ready>
bool readySoon(const Ready& ready) {
  for (int i = 0; i < kPauses; i++) {
    if (ready()) return true;
    pauseBriefly();
  }
  for (int i = 0; i < kYields; i++) {
    if (ready()) return true;
    std::this_thread::yield();
  }
  return false;
}

}  // namespace

Pool::Pool(int threads) : threads_(threads < 1 ? 1 : threads) {
  for (int share = 1; share < threads_; share++) {
    auto worker = std::make_unique<Worker>();
    Worker& self = *worker;
    try {
      self.thread = std::thread([this, &self, share] { work(self, share); });
    } catch (const std::system_error&) {
      // The system is out of threads: run() gives the missing shares to the caller.
      break;
    }
    workers_.push_back(std::move(worker));
  }
}

Pool::~Pool() {
  for (auto& worker : workers_) give(*worker, reinterpret_cast<const Job*>(&kStopTag));
  for (auto& worker : workers_) worker->thread.join();
}

int Pool::partsFor(double nanoseconds) const {
  if (!(nanoseconds >= 2 * kPartNanoseconds)) return 1;
  const double parts = nanoseconds / kPartNanoseconds;
  return parts < threads_ ? static_cast<int>(parts) : threads_;
}

void Pool::run(int64_t parts, void (*call)(void*, int64_t), void* context) {
  const int64_t shares = parts < threads_ ? parts : threads_;
  if (shares == 1 || insideJob || workers_.empty()) {
    for (int64_t part = 0; part < parts; part++) call(context, part);
    return;
  }
  const Job job{call, context, parts, shares};
  const int64_t helped =
      shares - 1 < static_cast<int64_t>(workers_.size()) ? shares - 1 : static_cast<int64_t>(workers_.size());
  pending_.store(static_cast<int>(helped), std::memory_order_relaxed);
  for (int64_t i = 0; i < helped; i++) give(*workers_[static_cast<size_t>(i)], &job);
  insideJob = true;
  runShare(job, 0);
  for (int64_t share = helped + 1; share < shares; share++) runShare(job, share);
  insideJob = false;
  awaitWorkers();
}

void Pool::runShare(const Job& job, int64_t share) {
  const int64_t to = job.parts * (share + 1) / job.shares;
  for (int64_t part = job.parts * share / job.shares; part < to; part++) job.call(job.context, part);
}

void Pool::give(Worker& worker, const Job* job) {
  // Sequentially consistent, as are the worker's steps in take(): either it sees the job before it sleeps, or we see it
  // asleep.
  worker.job.store(job);
  if (!worker.asleep.load()) return;
  const std::lock_guard<std::mutex> lock(worker.mutex);
  worker.wake.notify_one();
}

const Pool::Job* Pool::take(Worker& worker) {
  if (readySoon([&] { return worker.job.load(std::memory_order_acquire) != nullptr; })) return worker.job.load();
  std::unique_lock<std::mutex> lock(worker.mutex);
  worker.asleep.store(true);
  worker.wake.wait(lock, [&] { return worker.job.load() != nullptr; });
  worker.asleep.store(false);
  return worker.job.load();
}

void Pool::work(Worker& worker, int64_t share) {
  insideJob = true;
  while (true) {
    const Job* job = take(worker);
    if (job == reinterpret_cast<const Job*>(&kStopTag)) return;
    runShare(*job, share);
    // The slot must be free before the caller may go on and fill it again.
    worker.job.store(nullptr, std::memory_order_relaxed);
    if (pending_.fetch_sub(1) != 1) continue;
    if (!callerAsleep_.load()) continue;
    const std::lock_guard<std::mutex> lock(doneMutex_);
    done_.notify_one();
  }
}

void Pool::awaitWorkers() {
  if (readySoon([&] { return pending_.load(std::memory_order_acquire) == 0; })) return;
  std::unique_lock<std::mutex> lock(doneMutex_);
  callerAsleep_.store(true);
  done_.wait(lock, [&] { return pending_.load() == 0; });
  callerAsleep_.store(false);
}

void Pool::reserve(int64_t parts, size_t floats) {
  // Whole cache lines, one spare between parts: kernels may write up to 64 bytes beyond their panels.
  const size_t stride = (floats + 15) / 16 * 16 + 16;
  const size_t needed = stride * static_cast<size_t>(parts);
  scratchStride_ = stride;
  if (needed <= scratchCapacity_) return;
  scratch_.reset();
  scratchCapacity_ = 0;
  scratch_.reset(static_cast<float*>(::operator new(needed * sizeof(float), std::align_val_t(64))));
  scratchCapacity_ = needed;
}

void Pool::FreeAligned::operator()(float* p) const { ::operator delete(p, std::align_val_t(64)); }

}  // namespace relic
