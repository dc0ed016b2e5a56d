#include "comm/watchdog.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <system_error>

#include "comm/store_table.h"

namespace relic::comm {
namespace {

constexpr int64_t kFailMs = 3000;
constexpr size_t kMostText = 4096;

}  // namespace

Watchdog::Watchdog(WatchdogOptions options, Fd connection)
    : options_(std::move(options)), parent_(getppid()), connection_(std::move(connection)) {
  turnMs_ = pulseMs_ = steadyMs();
}

Status Watchdog::start(WatchdogOptions options, Fd connection, std::unique_ptr<Watchdog>* out) {
  std::unique_ptr<Watchdog> self(new Watchdog(std::move(options), std::move(connection)));
  try {
    self->thread_ = std::thread([watchdog = self.get()] { watchdog->loop(); });
  } catch (const std::system_error& error) {
    return ranksFailure(std::string("the watchdog's thread cannot be started: ") + error.what());
  }
  *out = std::move(self);
  return Status::success();
}

Watchdog::~Watchdog() {
  interrupt_.raise();
  if (thread_.joinable()) thread_.join();
}

void Watchdog::fail(const std::string& code, const std::string& message) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (isOver_ || failing_.isRaised()) return;
  failCode_ = code.substr(0, kMostText);
  failMessage_ = message.substr(0, kMostText);
  failing_.raise();
  over_.wait_for(lock, std::chrono::milliseconds(kFailMs), [this] { return isOver_; });
}

void Watchdog::loop() {
  blockPipeSignal();
  try {
    while (turn()) {
    }
  } catch (const std::bad_alloc&) {
    Verdict verdict;
    verdict.reason = "no memory left";
    options_.end(verdict, kPeerFailed);
  }
  std::lock_guard<std::mutex> lock(mutex_);
  isOver_ = true;
  over_.notify_all();
}

bool Watchdog::turn() {
  const bool failing = failing_.isRaised();
  const short events = static_cast<short>(POLLIN | (out_.empty() ? 0 : POLLOUT));
  pollfd polled[3] = {
      {connection_.get(), events, 0}, {interrupt_.fd(), POLLIN, 0}, {failing ? -1 : failing_.fd(), POLLIN, 0}};
  // A failure is a signal or a lack of memory; either way there is another turn soon.
  poll(polled, 3, static_cast<int>(std::clamp<int64_t>(nextBeatMs_ - steadyMs(), 0, kBeatMs)));
  if (interrupt_.isRaised()) return false;

  const int64_t nowMs = steadyMs();
  const int64_t pauseMs = nowMs - turnMs_;
  turnMs_ = nowMs;
  if (pauseMs >= options_.heartbeatTimeoutMs / 2) {
    // This process was stopped: rank 0 cannot be blamed for what it seemed to miss.
    pauseMs_ = pauseMs;
    pauseEndMs_ = pulseMs_ = nowMs;
  }
  if (options_.watchParent && getppid() != parent_) {
    const std::string reason = "its launcher, process " + std::to_string(parent_) + ", has died";
    out_.add(chunkOf(encode(FrameType::failing, {"RELIC_RANKS", reason})));
    out_.flush(connection_);
    options_.end(ownVerdict(reason), kPeerFailed);
    return false;
  }
  // First read, then send: after a pause, sending may throw away what waits to be read.
  if (!receive(nowMs)) return false;
  if (nowMs - pulseMs_ > options_.heartbeatTimeoutMs) {
    return rankZeroLost("it was not heard of for " + seconds(nowMs - pulseMs_) +
                            ": it is stopped, or its machine or network is down",
                        nowMs);
  }
  if (failing_.isRaised() && !failureSent_) {
    failureSent_ = true;
    std::lock_guard<std::mutex> lock(mutex_);
    out_.add(chunkOf(encode(FrameType::failing, {failCode_, failMessage_})));
  }
  beat(nowMs);
  if (out_.flush(connection_)) return true;
  // What rank 0 sent before it closed the connection still counts.
  if (!receive(nowMs)) return false;
  return rankZeroLost("its connection was closed without a goodbye: the process has died", nowMs);
}

bool Watchdog::receive(int64_t nowMs) {
  for (;;) {
    const auto result = in_.read(connection_, kMaxHello);
    if (result == FrameReader::Result::nothing) return true;
    if (result == FrameReader::Result::over) {
      return rankZeroLost("its connection was closed without a goodbye: the process has died", nowMs);
    }
    const Bytes frame = in_.take();
    Reader reader(frame);
    const auto type = static_cast<FrameType>(reader.get8());
    if (type == FrameType::closing) return false;
    if (type == FrameType::pulse) pulseMs_ = nowMs;
    Verdict verdict;
    if (type == FrameType::verdict && decode(reader, &verdict)) return obey(verdict);
  }
}

bool Watchdog::obey(const Verdict& verdict) {
  out_.add(chunkOf(encode(FrameType::verdictSeen, {})));
  out_.flush(connection_);
  const bool self = verdict.rank == options_.rank;
  // Others know of this rank's own error now: it may end as it likes. What it takes for its error may as well come of
  // having been stopped.
  if (self && failing_.isRaised() && verdict.reason.rfind(kOwnError, 0) == 0) return false;
  options_.end(verdict, self ? kSelfHung : kPeerFailed);
  return false;
}

bool Watchdog::rankZeroLost(const std::string& reason, int64_t nowMs) {
  const bool paused = isNoticeable(pauseMs_, options_.heartbeatTimeoutMs) &&
                      nowMs - pauseEndMs_ < options_.heartbeatTimeoutMs;
  if (failing_.isRaised()) {
    std::lock_guard<std::mutex> lock(mutex_);
    // An error between ranks comes of rank 0's death; another one is this rank's own, and nobody is left to be told.
    if (failCode_ != "RELIC_RANKS") return false;
  }
  if (paused) {
    options_.end(ownVerdict("it was stopped for " + seconds(pauseMs_) + ", and the others have given it up"),
                 kSelfHung);
    return false;
  }
  Verdict verdict;
  verdict.rank = 0;
  verdict.host = options_.rankZeroHost;
  verdict.pid = options_.rankZeroPid;
  verdict.step = options_.progress->step;
  verdict.what = options_.progress->what.load();
  verdict.reason = reason;
  options_.end(verdict, kPeerFailed);
  return false;
}

void Watchdog::beat(int64_t nowMs) {
  if (nowMs < nextBeatMs_) return;
  nextBeatMs_ = nowMs + kBeatMs;
  // Behind one that is still on its way, another is of no use.
  if (out_.empty()) out_.add(chunkOf(encode(look(nowMs))));
}

Heartbeat Watchdog::look(int64_t nowMs) const {
  const Progress& progress = *options_.progress;
  Heartbeat beat;
  // What is read belongs to one collective when its number is the same before and after.
  do {
    beat.entered = progress.entered;
    beat.waiting = progress.waiting;
    beat.what = progress.what.load();
    beat.ageMs = beat.waiting ? nowMs - progress.enteredAtMs : 0;
  } while (beat.entered != progress.entered);
  beat.step = progress.step;
  return beat;
}

Verdict Watchdog::ownVerdict(std::string reason) const {
  const auto beat = look(steadyMs());
  return {options_.rank, options_.host, options_.pid, beat.step, beat.what, std::move(reason)};
}

}  // namespace relic::comm
