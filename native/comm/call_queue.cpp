#include "comm/call_queue.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace relic::comm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kEndWithin = std::chrono::seconds(2);

double secondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

template <typename Work>
Status guarded(const Work& work) noexcept {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return Status::failure("RELIC_OUT_OF_MEMORY", "communication between ranks has no memory left");
  } catch (const std::exception& error) {
    return Status::failure("RELIC_RANKS", error.what());
  }
}

}  // namespace

struct CallQueue::State {
  struct Item {
    Call call;
    Done done;
  };

  mutable std::mutex mutex;
  std::condition_variable changed;
  std::deque<Item> items;
  uint64_t posted = 0, ended = 0;
  // Of the first call that failed, and its number; 0 while none has.
  Status failure;
  uint64_t failedAt = 0;
  bool cancelled = false, stopping = false, gone = false;
  // Null before it is opened and after the end.
  Comm* comm = nullptr;
  int rank = 0, size = 1;
  std::string description;
  double busy = 0, waited = 0;

  void fail(uint64_t at, const Status& status) {
    if (failedAt != 0) return;
    failedAt = at;
    failure = status;
  }
  Status statusOf(uint64_t call) const { return failedAt != 0 && failedAt <= call ? failure : Status::success(); }

  void work(Open open, const Done& opened) {
    std::unique_ptr<Comm> own;
    const Status status = guarded([&] { return open(&own); });
    // What opening needed is not kept: it may be JavaScript's, which can end before this thread.
    open = nullptr;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      if (!status.ok()) fail(1, status);
      comm = own.get();
      if (comm != nullptr) {
        rank = comm->rank();
        size = comm->size();
        description = comm->description();
        if (cancelled) comm->cancel();
      }
    }
    opened(status);
    while (next()) continue;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      comm = nullptr;
    }
    own.reset();
    const std::lock_guard<std::mutex> lock(mutex);
    gone = true;
    changed.notify_all();
  }

  // Makes one call, if there is one before the end.
  bool next() {
    Item item;
    Status status;
    uint64_t number = 0;
    {
      std::unique_lock<std::mutex> lock(mutex);
      changed.wait(lock, [this] { return stopping || !items.empty(); });
      if (items.empty()) return false;
      item = std::move(items.front());
      items.pop_front();
      number = ended + 1;
      status = statusOf(number);
    }
    const auto start = Clock::now();
    if (status.ok()) status = guarded([&] { return item.call(*comm); });
    const double seconds = secondsSince(start);
    {
      const std::lock_guard<std::mutex> lock(mutex);
      if (!status.ok()) fail(number, status);
      busy += seconds;
      ended = number;
      changed.notify_all();
    }
    if (item.done) item.done(status);
    return true;
  }
};

Status CallQueue::start(Open open, Done opened, std::shared_ptr<CallQueue>* out) {
  auto state = std::make_shared<State>();
  try {
    std::thread([state, open = std::move(open), opened = std::move(opened)]() mutable {
      state->work(std::move(open), opened);
    }).detach();
  } catch (const std::system_error& error) {
    return Status::failure("RELIC_RANKS",
                           std::string("the thread that communicates cannot be started: ") + error.what());
  }
  out->reset(new CallQueue(std::move(state)));
  return Status::success();
}

CallQueue::~CallQueue() {
  cancel();
  std::unique_lock<std::mutex> lock(state_->mutex);
  state_->stopping = true;
  state_->changed.notify_all();
  state_->changed.wait_for(lock, kEndWithin, [this] { return state_->gone; });
}

int CallQueue::rank() const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->rank;
}

int CallQueue::size() const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->size;
}

std::string CallQueue::description() const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->description;
}

uint64_t CallQueue::post(Call call, Done done) {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  state_->items.push_back({std::move(call), std::move(done)});
  state_->changed.notify_all();
  return ++state_->posted;
}

Status CallQueue::wait(uint64_t call) {
  std::unique_lock<std::mutex> lock(state_->mutex);
  if (state_->ended < call) {
    const auto start = Clock::now();
    if (state_->comm != nullptr) state_->comm->setUrgent(true);
    state_->changed.wait(lock, [&] { return state_->ended >= call; });
    if (state_->comm != nullptr) state_->comm->setUrgent(false);
    state_->waited += secondsSince(start);
  }
  return state_->statusOf(call);
}

void CallQueue::close(Done done) {
  const Done ended = [state = state_.get(), done = std::move(done)](const Status& status) {
    bool failedBefore = false;
    {
      const std::lock_guard<std::mutex> lock(state->mutex);
      failedBefore = state->failedAt != 0 && state->failedAt != state->ended;
      state->fail(state->ended + 1,
                  Status::failure("RELIC_RANKS", "communication between ranks was closed: no call may follow"));
    }
    // Who made the call that failed has been told.
    done(failedBefore ? Status::success() : status);
  };
  post([](Comm& comm) { return comm.close(); }, ended);
}

void CallQueue::cancel() {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  state_->cancelled = true;
  state_->fail(state_->ended + 1, Status::failure("RELIC_RANKS", "communication between ranks was cancelled"));
  if (state_->comm != nullptr) state_->comm->cancel();
}

double CallQueue::busySeconds() const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->busy;
}

double CallQueue::waitedSeconds() const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->waited;
}

}  // namespace relic::comm
