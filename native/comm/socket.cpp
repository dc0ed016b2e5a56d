#include "comm/socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "comm/progress.h"

namespace relic::comm {
namespace {

// Waits look at their interrupt this often where it has no pipe.
constexpr int64_t kLookMs = 200;
constexpr int kBacklog = 512;

bool configure(int fd, bool blocking) {
  const int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK) == 0 &&
         fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

bool configureStream(int fd) {
  const int on = 1;
#ifdef SO_NOSIGPIPE
  if (setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on)) != 0) return false;
#endif
  return configure(fd, false) && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0;
}

struct Addresses {
  addrinfo* first = nullptr;
  ~Addresses() {
    if (first != nullptr) freeaddrinfo(first);
  }
};

Status resolve(const std::string& host, int port, Addresses* out) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  const int result = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &out->first);
  if (result == 0) return Status::success();
  return ranksFailure("the host name " + host + " has no address: " + gai_strerror(result));
}

std::string placeOf(const std::string& host, int port) { return host + ":" + std::to_string(port); }

Status listenOnOne(const addrinfo& address, Listening* out, bool* busy) {
  Fd fd(socket(address.ai_family, SOCK_STREAM, 0));
  const int on = 1;
  if (!fd.isOpen() || !configure(fd.get(), false) ||
      setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      bind(fd.get(), address.ai_addr, address.ai_addrlen) != 0 || listen(fd.get(), kBacklog) != 0) {
    *busy = errno == EADDRINUSE;
    return ranksFailure(systemError(errno));
  }
  sockaddr_storage bound{};
  socklen_t length = sizeof(bound);
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &length) != 0) {
    return ranksFailure(systemError(errno));
  }
  out->port = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                                                : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
  out->fd = std::move(fd);
  return Status::success();
}

Status connectToOne(const addrinfo& address, int64_t deadlineMs, const Interrupt& interrupt, Fd* out) {
  Fd fd(socket(address.ai_family, SOCK_STREAM, 0));
  if (!fd.isOpen() || !configureStream(fd.get())) return ranksFailure(systemError(errno));
  if (connect(fd.get(), address.ai_addr, address.ai_addrlen) != 0) {
    if (errno != EINPROGRESS && errno != EINTR) return ranksFailure(systemError(errno));
    RELIC_TRY(waitFor(fd.get(), POLLOUT, deadlineMs, interrupt));
    int error = 0;
    socklen_t length = sizeof(error);
    if (getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
    if (error != 0) return ranksFailure(systemError(error));
  }
  *out = std::move(fd);
  return Status::success();
}

bool wouldBlock(int number) { return number == EAGAIN || number == EWOULDBLOCK || number == EINTR; }

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = other.fd_;
    other.fd_ = -1;
  }
  return *this;
}

void Fd::close() {
  // On an error the descriptor is gone as well, and its data were sent or acknowledged before.
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Interrupt::Interrupt() {
  int ends[2];
  if (pipe(ends) != 0) return;
  reading_ = Fd(ends[0]);
  writing_ = Fd(ends[1]);
  if (!configure(ends[0], false) || !configure(ends[1], false)) {
    reading_.close();
    writing_.close();
  }
}

void Interrupt::raise() {
  raised_ = true;
  // The byte stays unread, so that every later wait ends too. A full pipe is readable already.
  if (writing_.isOpen() && write(writing_.get(), "", 1) < 0) return;
}

Status ranksFailure(std::string message) { return Status::failure("RELIC_RANKS", std::move(message)); }

std::string systemError(int number) { return std::error_code(number, std::generic_category()).message(); }

Status listenOn(const std::string& address, int port, Listening* out, bool* busy) {
  *busy = false;
  Addresses addresses;
  RELIC_TRY(resolve(address, port, &addresses));
  // The first alone: another one of the same name is where nobody looks.
  const auto status = listenOnOne(*addresses.first, out, busy);
  if (status.ok()) return status;
  if (*busy) return ranksFailure("port " + std::to_string(port) + " of " + address + " is in use by another process");
  return ranksFailure("rank 0 cannot listen on " + placeOf(address, port) + ": " + status.message);
}

Fd acceptFrom(const Fd& listening) {
  Fd fd(accept(listening.get(), nullptr, nullptr));
  if (fd.isOpen() && !configureStream(fd.get())) fd.close();
  return fd;
}

Status connectTo(const std::string& host, int port, int64_t deadlineMs, const Interrupt& interrupt, Fd* out) {
  Addresses addresses;
  RELIC_TRY(resolve(host, port, &addresses));
  Status status;
  for (const addrinfo* address = addresses.first; address != nullptr; address = address->ai_next) {
    status = connectToOne(*address, deadlineMs, interrupt, out);
    if (status.ok()) return status;
  }
  return ranksFailure(placeOf(host, port) + " cannot be reached: " + status.message);
}

Status waitFor(int fd, short events, int64_t deadlineMs, const Interrupt& interrupt) {
  for (;;) {
    if (interrupt.isRaised()) return ranksFailure("this process has stopped taking part");
    const int64_t left = deadlineMs - steadyMs();
    if (left <= 0) return ranksFailure("no answer in time");
    pollfd polled[2] = {{fd, events, 0}, {interrupt.fd(), POLLIN, 0}};
    const int64_t most = interrupt.fd() < 0 ? kLookMs : 60000;
    const int ready = poll(polled, 2, static_cast<int>(std::min(left, most)));
    if (ready < 0 && errno != EINTR) return ranksFailure(systemError(errno));
    if (ready > 0 && polled[0].revents != 0) return Status::success();
  }
}

Status sleepUntil(int64_t deadlineMs, const Interrupt& interrupt) {
  while (steadyMs() < deadlineMs && !interrupt.isRaised()) waitFor(-1, 0, deadlineMs, interrupt);
  return interrupt.isRaised() ? ranksFailure("this process has stopped taking part") : Status::success();
}

Status sendAll(const Fd& fd, const void* data, size_t bytes, int64_t deadlineMs, const Interrupt& interrupt) {
  const auto* from = static_cast<const uint8_t*>(data);
  while (bytes > 0) {
    const ptrdiff_t sent = trySend(fd, from, bytes);
    if (sent < 0) return ranksFailure("the connection to rank 0 was closed");
    if (sent == 0) RELIC_TRY(waitFor(fd.get(), POLLOUT, deadlineMs, interrupt));
    from += sent;
    bytes -= static_cast<size_t>(sent);
  }
  return Status::success();
}

Status receiveAll(const Fd& fd, void* data, size_t bytes, int64_t deadlineMs, const Interrupt& interrupt) {
  auto* to = static_cast<uint8_t*>(data);
  while (bytes > 0) {
    const ptrdiff_t received = tryReceive(fd, to, bytes);
    if (received < 0) return ranksFailure("the connection to rank 0 was closed");
    if (received == 0) RELIC_TRY(waitFor(fd.get(), POLLIN, deadlineMs, interrupt));
    to += received;
    bytes -= static_cast<size_t>(received);
  }
  return Status::success();
}

ptrdiff_t trySend(const Fd& fd, const void* data, size_t bytes) {
#ifdef MSG_NOSIGNAL
  const ptrdiff_t sent = send(fd.get(), data, bytes, MSG_NOSIGNAL);
#else
  const ptrdiff_t sent = send(fd.get(), data, bytes, 0);
#endif
  if (sent >= 0) return sent;
  return wouldBlock(errno) ? 0 : -1;
}

ptrdiff_t tryReceive(const Fd& fd, void* data, size_t bytes) {
  const ptrdiff_t received = recv(fd.get(), data, bytes, 0);
  if (received > 0) return received;
  return received < 0 && wouldBlock(errno) ? 0 : -1;
}

void blockPipeSignal() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGPIPE);
  // Fails for a wrong first argument alone.
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

}  // namespace relic::comm
