// Ranks over MPI. Calls are non-blocking ones that are asked after now and then: a blocking one would hold a core at 100 %
// that this rank, or another one on it, computes with.
#include <dlfcn.h>
#include <sched.h>

#if defined(__linux__)
#include <sys/prctl.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include "comm/mpi_library.h"
#include "comm/options.h"
#include "comm/progress.h"

namespace relic::comm {
namespace {

using std::chrono::microseconds;

constexpr int kThreadFunneled = 1;
constexpr int kErrorRoom = 1024;
// Counts are ints in MPI; far below their limit, since libraries multiply them by sizes.
constexpr int64_t kMaxFloats = int64_t{1} << 27;
constexpr size_t kMaxBytes = size_t{1} << 29;

// How a waiting thread passes the time. While this rank computes, it sleeps, longer and longer. Else it offers its core
// between looks for about a millisecond, and then sleeps too, since who is waited for may need the core.
constexpr int kYields = 1000;
constexpr auto kUrgentSleep = microseconds(20);
constexpr auto kLeastSleep = microseconds(20), kMostSleep = microseconds(200);
// By default the system adds 50 us to every sleep.
constexpr unsigned long kTimerSlackNs = 2000;

class Patience {
 public:
  void pass(bool urgent) {
    if (urgent && yields_ < kYields) {
      yields_++;
      sched_yield();
      return;
    }
    std::this_thread::sleep_for(urgent ? kUrgentSleep : sleep_);
    sleep_ = std::min(2 * sleep_, kMostSleep);
  }

 private:
  int yields_ = 0;
  microseconds sleep_ = kLeastSleep;
};

template <typename Handle>
class MpiComm : public Comm {
 public:
  MpiComm(const Mpi<Handle>& mpi, std::string description) : mpi_(mpi), description_(std::move(description)) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const std::string& description() const override { return description_; }

  Status initialise() {
    int provided = 0;
    RELIC_TRY(checked(mpi_.Init_thread(nullptr, nullptr, kThreadFunneled, &provided), "MPI_Init_thread"));
    RELIC_TRY(checked(mpi_.Comm_set_errhandler(mpi_.world, mpi_.errorsReturn), "MPI_Comm_set_errhandler"));
    RELIC_TRY(checked(mpi_.Comm_rank(mpi_.world, &rank_), "MPI_Comm_rank"));
    RELIC_TRY(checked(mpi_.Comm_size(mpi_.world, &size_), "MPI_Comm_size"));
    if (provided >= kThreadFunneled) return Status::success();
    return Status::failure("RELIC_RANKS", description_ + ": expected support of threads, MPI_THREAD_FUNNELED, received " +
                                              std::to_string(provided));
  }

  Status allReduceSum(float* data, int64_t count) override {
    const InCollective mark("MPI all-reduce");
    for (int64_t at = 0; at < count; at += kMaxFloats) {
      Handle request{};
      const auto part = static_cast<int>(std::min(kMaxFloats, count - at));
      RELIC_TRY(checked(mpi_.Iallreduce(mpi_.inPlace, data + at, part, mpi_.float32, mpi_.sum, mpi_.world, &request),
                        "MPI_Iallreduce"));
      RELIC_TRY(await(&request, "MPI_Iallreduce"));
    }
    return Status::success();
  }

  Status broadcast(void* data, size_t bytes, int root) override {
    const InCollective mark("MPI broadcast");
    for (size_t at = 0; at < bytes; at += kMaxBytes) {
      Handle request{};
      const auto part = static_cast<int>(std::min(kMaxBytes, bytes - at));
      RELIC_TRY(checked(mpi_.Ibcast(static_cast<char*>(data) + at, part, mpi_.byte, root, mpi_.world, &request),
                        "MPI_Ibcast"));
      RELIC_TRY(await(&request, "MPI_Ibcast"));
    }
    return Status::success();
  }

  Status allGather(const void* in, size_t bytes, void* out) override {
    const InCollective mark("MPI all-gather");
    if (bytes > kMaxBytes) {
      return Status::failure("RELIC_RANKS", "MPI all-gather: expected at most " + std::to_string(kMaxBytes) +
                                                " bytes of each rank, received " + std::to_string(bytes));
    }
    Handle request{};
    const auto count = static_cast<int>(bytes);
    RELIC_TRY(checked(mpi_.Iallgather(in, count, mpi_.byte, out, count, mpi_.byte, mpi_.world, &request),
                      "MPI_Iallgather"));
    return await(&request, "MPI_Iallgather");
  }

  Status close() override { return checked(mpi_.Finalize(), "MPI_Finalize"); }

  void cancel() override { cancelled_ = true; }

 private:
  Status await(Handle* request, const char* what) {
    Patience patience;
    for (;;) {
      int done = 0;
      RELIC_TRY(checked(mpi_.Test(request, &done, mpi_.statusIgnore), what));
      if (done != 0) return Status::success();
      if (cancelled_) return Status::failure("RELIC_RANKS", std::string(what) + " was cancelled");
      patience.pass(urgent());
    }
  }

  Status checked(int code, const char* what) const {
    if (code == 0) return Status::success();
    char text[kErrorRoom] = "";
    int length = 0;
    if (mpi_.Error_string(code, text, &length) != 0) text[0] = '\0';
    return Status::failure("RELIC_RANKS", description_ + ": " + what + " failed with code " + std::to_string(code) + ": " +
                                              std::string(text));
  }

  const Mpi<Handle> mpi_;
  const std::string description_;
  int rank_ = 0, size_ = 1;
  std::atomic<bool> cancelled_{false};
};

std::string rankOf(int rank, int size) { return "rank " + std::to_string(rank) + " of " + std::to_string(size); }

// Opens one library; what it says of rank and size is added to `reports` when that is not what the launcher says.
template <typename Handle>
Status open(const MpiLibrary& library, const CommOptions& options, std::string* reports, std::unique_ptr<Comm>* out) {
  // Now for others to see: components of Open MPI look for its symbols.
  Dl_info info{};
  Mpi<Handle> mpi{};
  RELIC_TRY(resolveMpi(library, &mpi));
  if (dladdr(reinterpret_cast<void*>(mpi.Init_thread), &info) != 0) dlopen(info.dli_fname, RTLD_NOW | RTLD_GLOBAL);
  auto comm = std::make_unique<MpiComm<Handle>>(mpi, library.description);
  RELIC_TRY(comm->initialise());
  if (comm->rank() == options.rank && comm->size() == options.size) {
    *out = std::move(comm);
    return Status::success();
  }
  *reports += (reports->empty() ? "" : ", ") + library.description + " says " + rankOf(comm->rank(), comm->size());
  return comm->close();
}

const char* advice(Launcher launcher) {
  switch (launcher) {
    case Launcher::openMpi:
      return "the launcher belongs to Open MPI (under Slurm: srun --mpi=pmix): install that library, and let LD_LIBRARY_PATH "
             "lead to it";
    case Launcher::mpich:
      return "the launcher belongs to MPICH or its kin (under Slurm: srun --mpi=pmi2): install that library, and let "
             "LD_LIBRARY_PATH lead to it";
    case Launcher::unknown:
      break;
  }
  return "start with the mpirun of the library that is installed, or under Slurm with srun --mpi=pmi2 for MPICH and "
         "--mpi=pmix for Open MPI";
}

}  // namespace

Status openMpi(const CommOptions& options, std::unique_ptr<Comm>* out) {
  static std::atomic<bool> used{false};
  if (used.exchange(true)) {
    return Status::failure("RELIC_RANKS", "MPI was opened before in this process: it can be once");
  }
#if defined(__linux__)
  prctl(PR_SET_TIMERSLACK, kTimerSlackNs);
#endif
  std::vector<MpiLibrary> libraries;
  RELIC_TRY(findMpi(options.mpiLibrary, options.launcher, &libraries));
  // A library that does not understand the launcher is a world of its own, without a word.
  std::string reports;
  for (const MpiLibrary& library : libraries) {
    RELIC_TRY(library.family == MpiFamily::mpich ? open<int>(library, options, &reports, out)
                                                 : open<void*>(library, options, &reports, out));
    if (*out != nullptr) return Status::success();
  }
  return Status::failure("RELIC_RANKS", "MPI: expected " + rankOf(options.rank, options.size) +
                                            ", as the launcher says, received: " + reports + "\n  fix: " +
                                            advice(options.launcher));
}

}  // namespace relic::comm
