// TCP sockets of Linux and macOS: every call checked, SIGPIPE never raised, no wait without a deadline.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "relic/status.h"

namespace relic::comm {

// An open file descriptor, closed with this object.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Fd& operator=(Fd&& other) noexcept;
  ~Fd() { close(); }
  int get() const { return fd_; }
  bool isOpen() const { return fd_ >= 0; }
  void close();

 private:
  int fd_ = -1;
};

// Ends waits of other threads, for good: once interrupted, every wait fails at once.
class Interrupt {
 public:
  Interrupt();
  void raise();
  bool isRaised() const { return raised_; }
  // Readable once raised; -1 when the system gave no pipe, so that raising takes effect at a wait's next look.
  int fd() const { return reading_.get(); }

 private:
  std::atomic<bool> raised_{false};
  Fd reading_, writing_;
};

Status ranksFailure(std::string message);
// What `errno` says.
std::string systemError(int number);

struct Listening {
  Fd fd;
  int port = 0;
};
// `busy` tells whether the port is the reason of a failure.
Status listenOn(const std::string& address, int port, Listening* out, bool* busy);
// The next connection, ready for use and non-blocking; not open when there is none.
Fd acceptFrom(const Fd& listening);
// One try, over all addresses of the host. Deadlines are of steadyMs().
Status connectTo(const std::string& host, int port, int64_t deadlineMs, const Interrupt& interrupt, Fd* out);

// At least one of `events` (of poll) on `fd`; RELIC_RANKS when interrupted or late.
Status waitFor(int fd, short events, int64_t deadlineMs, const Interrupt& interrupt);
Status sleepUntil(int64_t deadlineMs, const Interrupt& interrupt);
Status sendAll(const Fd& fd, const void* data, size_t bytes, int64_t deadlineMs, const Interrupt& interrupt);
Status receiveAll(const Fd& fd, void* data, size_t bytes, int64_t deadlineMs, const Interrupt& interrupt);

// As send() and recv() of a non-blocking socket: bytes done, 0 when none can be now, -1 when the connection is over.
ptrdiff_t trySend(const Fd& fd, const void* data, size_t bytes);
ptrdiff_t tryReceive(const Fd& fd, void* data, size_t bytes);

// For threads that use sockets and write to standard error: a reader that is gone must not end the process.
void blockPipeSignal();

}  // namespace relic::comm
