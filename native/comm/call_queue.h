// The thread that makes all calls of one communicator, in the order in which they are posted: MPI wants one thread, and
// computation goes on meanwhile.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "comm/comm.h"
#include "relic/status.h"

namespace relic::comm {

class CallQueue {
 public:
  // All on the queue's thread. `Done` gets the status of the call.
  using Open = std::function<Status(std::unique_ptr<Comm>*)>;
  using Call = std::function<Status(Comm&)>;
  using Done = std::function<void(const Status&)>;

  // `opened` is called when the communicator is there, or could not be made.
  static Status start(Open open, Done opened, std::shared_ptr<CallQueue>* out);
  // Cancels what runs. A thread that does not end within two seconds, because a library holds it, is left behind.
  ~CallQueue();
  CallQueue(const CallQueue&) = delete;
  CallQueue& operator=(const CallQueue&) = delete;

  // Once opened.
  int rank() const;
  int size() const;
  std::string description() const;

  // What a call refers to must live until it has ended. Once one fails, all later ones fail alike without being made: the
  // ranks no longer make the same calls. Returns the number of the call.
  uint64_t post(Call call, Done done = nullptr);
  // Waits for the end of a call. One thread at a time.
  Status wait(uint64_t call);
  // post, then wait.
  Status run(Call call) { return wait(post(std::move(call))); }

  // Leaves the other ranks in good order, unless a call has failed; later calls fail. May be called again.
  void close(Done done);
  // From any thread: the call that runs fails soon, and so do all others.
  void cancel();

  // Seconds spent in calls, and seconds for which wait() had to wait.
  double busySeconds() const;
  double waitedSeconds() const;

 private:
  struct State;
  explicit CallQueue(std::shared_ptr<State> state) : state_(std::move(state)) {}

  // Shared with the thread, which may be left behind.
  const std::shared_ptr<State> state_;
};

}  // namespace relic::comm
