#include "comm/store_server.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <random>
#include <system_error>

#include "comm/progress.h"

namespace relic::comm {
namespace {

// Connections of which nobody knows whose they are: how many there may be, and for how long.
constexpr size_t kMostUnknown = 128;
constexpr int64_t kUnknownMs = 10000;
// What one connection may send before others have their turn.
constexpr size_t kReadBudget = 4 << 20;
// How long the others may take to confirm a verdict.
constexpr int64_t kVerdictMs = 1000;
// A rank that fails by its own account may do so because another one died, of which this store hears soon.
constexpr int64_t kGraceMs = 300;
constexpr int64_t kRanksGraceMs = 1500;
constexpr int64_t kLeaveMs = 30000;

}  // namespace

Status StoreServer::host(const std::string& address, int port, std::unique_ptr<StoreServer>* out, bool* busy) {
  std::unique_ptr<StoreServer> self(new StoreServer());
  RELIC_TRY(listenOn(address, port, &self->listening_, busy));
  try {
    std::random_device random;
    self->token_ = (static_cast<uint64_t>(random()) << 32 | random()) | 1;
    self->thread_ = std::thread([server = self.get()] { server->loop(); });
  } catch (const std::exception& error) {
    return ranksFailure(std::string("the thread of rank 0's store cannot be started: ") + error.what());
  }
  *out = std::move(self);
  return Status::success();
}

StoreServer::~StoreServer() {
  interrupt_.raise();
  if (thread_.joinable()) thread_.join();
}

void StoreServer::loop() {
  blockPipeSignal();
  try {
    while (turn()) {
    }
  } catch (const std::bad_alloc&) {
    // Closed connections without a goodbye: every rank's watchdog, rank 0's too, then says that rank 0 is gone.
    connections_.clear();
  }
  listening_.fd.close();
}

bool StoreServer::turn() {
  poll(kBeatMs / 2);
  if (interrupt_.isRaised()) return false;
  const int64_t nowMs = steadyMs();
  if (watch_) watch_->turn(nowMs);
  accept();
  for (auto& connection : connections_) read(connection);
  for (auto& connection : connections_) {
    if (connection.over) lost(connection);
  }
  expireJoining(nowMs);
  if (started_) {
    table_->expire(nowMs);
    watchRanks(nowMs);
    passVerdict(nowMs);
    sendPulses(nowMs);
    endLeaving(nowMs);
  }
  for (auto& connection : connections_) {
    if (!connection.over && !connection.out.flush(connection.fd)) lost(connection);
  }
  closeOver();
  return true;
}

void StoreServer::poll(int64_t mostMs) {
  std::vector<pollfd> polled{{acceptFails_ ? -1 : listening_.fd.get(), POLLIN, 0}, {interrupt_.fd(), POLLIN, 0}};
  for (const auto& connection : connections_) {
    const short events = static_cast<short>((connection.ending ? 0 : POLLIN) | (connection.out.empty() ? 0 : POLLOUT));
    polled.push_back({connection.fd.get(), events, 0});
  }
  // A failure is a signal or a lack of memory; either way there is another turn soon.
  ::poll(polled.data(), static_cast<nfds_t>(polled.size()), static_cast<int>(mostMs));
}

void StoreServer::accept() {
  size_t unknown = 0;
  for (const auto& connection : connections_) unknown += connection.channel == Channel::unknown ? 1 : 0;
  for (;;) {
    Fd fd = acceptFrom(listening_.fd);
    // Out of descriptors: waiting for the listening socket would return at once until some are free.
    acceptFails_ = !fd.isOpen() && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM);
    if (!fd.isOpen()) return;
    if (unknown++ >= kMostUnknown) {
      for (auto& connection : connections_) {
        if (connection.channel != Channel::unknown || connection.over) continue;
        connection.over = true;
        break;
      }
    }
    auto& connection = connections_.emplace_back();
    connection.fd = std::move(fd);
    connection.openedMs = steadyMs();
  }
}

void StoreServer::read(Connection& connection) {
  const bool unknown = connection.channel == Channel::unknown;
  if (unknown && steadyMs() - connection.openedMs > kUnknownMs) connection.over = true;
  // Of a connection that ends, only its end matters.
  for (int frames = 0; frames < 16 && !connection.over && !connection.ending; frames++) {
    const auto result = connection.in.read(connection.fd, kReadBudget);
    if (result == FrameReader::Result::nothing) return;
    if (result == FrameReader::Result::over) {
      connection.over = true;
      return;
    }
    handle(connection, connection.in.take());
  }
}

void StoreServer::handle(Connection& connection, Bytes frame) {
  const int rank = connection.rank;
  if (connection.channel == Channel::unknown) return hear(connection, frame);
  if (connection.channel == Channel::watch) return handleWatched(connection, frame);
  const bool isRequest = connection.channel == Channel::requests && started_ && frame.size() > 1 &&
                         frame[0] == static_cast<uint8_t>(FrameType::request);
  if (isRequest && frame[1] == static_cast<uint8_t>(Op::leave)) return leave(rank);
  if (!isRequest || !table_->request(rank, std::move(frame), steadyMs())) connection.over = true;
}

void StoreServer::handleWatched(Connection& connection, Bytes& frame) {
  if (!started_) return;
  auto& rank = ranks_[static_cast<size_t>(connection.rank)];
  Reader reader(frame);
  switch (static_cast<FrameType>(reader.get8())) {
    case FrameType::heartbeat: {
      Heartbeat heartbeat;
      if (decode(reader, &heartbeat)) watch_->heard(connection.rank, std::move(heartbeat), steadyMs());
      return;
    }
    case FrameType::failing: {
      const auto code = reader.getText(), message = reader.getText();
      const int64_t graceMs = code == "RELIC_RANKS" ? kRanksGraceMs : kGraceMs;
      return suspect(verdictOn(connection.rank, kOwnError + code + ": " + message),
                     steadyMs() + graceMs);
    }
    case FrameType::verdictSeen:
      rank.hasSeenVerdict = true;
      return;
    default:
      connection.over = true;
  }
}

void StoreServer::leave(int number) {
  auto& rank = ranks_[static_cast<size_t>(number)];
  rank.left = true;
  watch_->leave(number);
  table_->leave(number);
  if (number == 0) {
    // Answered when the others have left too.
    leaveDeadlineMs_ = steadyMs() + kLeaveMs;
    return;
  }
  Writer writer(FrameType::reply);
  writer.put8(1);
  send(*rank.requests, writer.finish());
}

// Rank 0 stays until all others have left, or its limit is over; then it tells those who are still there.
void StoreServer::endLeaving(int64_t nowMs) {
  if (leaveDeadlineMs_ == 0 || verdict_ || suspicion_) return;
  const bool all = std::all_of(ranks_.begin(), ranks_.end(), [](const Rank& rank) { return rank.left; });
  if (!all && nowMs < leaveDeadlineMs_) return;
  leaveDeadlineMs_ = 0;
  for (auto& rank : ranks_) {
    if (rank.watch != nullptr) send(*rank.watch, encode(FrameType::closing, {}));
  }
  Writer writer(FrameType::reply);
  writer.put8(1);
  if (ranks_[0].requests != nullptr) send(*ranks_[0].requests, writer.finish());
}

void StoreServer::send(Connection& connection, Bytes frame) { connection.out.add(chunkOf(std::move(frame))); }

void StoreServer::lost(Connection& connection) {
  connection.over = true;
  if (connection.rank < 0) return;
  auto& rank = ranks_[static_cast<size_t>(connection.rank)];
  if (rank.requests != &connection && rank.watch != &connection) return;
  // It may have said why on the other connection.
  if (rank.watch != nullptr && rank.watch != &connection) read(*rank.watch);
  if (started_) {
    if (!rank.left) {
      const int64_t pauseMs = watch_->ownPause(steadyMs());
      if (pauseMs > 0) {
        judge(verdictOn(0, "it was stopped for " + seconds(pauseMs) + ", and the others have given it up"));
      } else if (!suspicion_ || suspicion_->rank != connection.rank) {
        judge(verdictOn(connection.rank, "its connection was closed without a goodbye: the process has died"));
      }
    }
  } else if (rank.hello) {
    rank.note = "came from host " + rank.hello->host + ", process " + std::to_string(rank.hello->pid) +
                ", and went away again";
    rank.hello.reset();
  }
  for (auto** side : {&rank.requests, &rank.watch}) {
    if (*side != nullptr && !started_) (*side)->over = true;
    if (*side == &connection || !started_) *side = nullptr;
  }
}

void StoreServer::closeOver() {
  connections_.remove_if([this](const Connection& connection) {
    if (!connection.over && !(connection.ending && connection.out.empty())) return false;
    for (auto& rank : ranks_) {
      if (rank.requests == &connection) rank.requests = nullptr;
      if (rank.watch == &connection) rank.watch = nullptr;
    }
    return true;
  });
}

void StoreServer::sendPulses(int64_t nowMs) {
  if (nowMs < nextPulseMs_) return;
  nextPulseMs_ = nowMs + kBeatMs;
  const auto pulse = chunkOf(encode(FrameType::pulse, {}));
  for (auto& rank : ranks_) {
    if (rank.watch != nullptr && rank.watch->out.empty()) rank.watch->out.add(pulse);
  }
}

void StoreServer::watchRanks(int64_t nowMs) {
  if (verdict_) return;
  if (suspicion_ && nowMs >= suspicionDueMs_) return judge(std::move(*suspicion_));
  if (const auto finding = watch_->find(nowMs)) return judge(verdictOn(finding->rank, finding->reason));
  const auto stuck = table_->stuck(nowMs, run_->collectiveTimeoutMs);
  if (stuck) {
    judge(verdictOn(stuck->rank, "it has not come to " + stuck->what + ", in which " + std::to_string(stuck->come) +
                                     " of " + std::to_string(run_->size) + " ranks are, for " +
                                     seconds(stuck->ageMs)));
  }
}

Verdict StoreServer::verdictOn(int rank, std::string reason) const {
  Verdict verdict;
  verdict.rank = rank;
  verdict.reason = std::move(reason);
  if (rank < 0) return verdict;
  const auto& hello = *ranks_[static_cast<size_t>(rank)].hello;
  const auto& last = watch_->last(rank);
  verdict.host = hello.host;
  verdict.pid = hello.pid;
  verdict.step = last.step;
  verdict.what = last.what;
  return verdict;
}

void StoreServer::suspect(Verdict verdict, int64_t dueMs) {
  if (suspicion_ || verdict_) return;
  suspicion_ = std::move(verdict);
  suspicionDueMs_ = dueMs;
}

// Rank 0 is told last: its end closes everybody's connection.
void StoreServer::judge(Verdict verdict) {
  if (verdict_) return;
  verdict_ = std::move(verdict);
  verdictDueMs_ = steadyMs() + kVerdictMs;
  const auto chunk = chunkOf(encode(*verdict_));
  for (size_t i = 1; i < ranks_.size(); i++) {
    if (ranks_[i].watch != nullptr && !ranks_[i].left) ranks_[i].watch->out.add(chunk);
  }
}

void StoreServer::passVerdict(int64_t nowMs) {
  if (!verdict_ || verdictPassed_) return;
  for (size_t i = 1; i < ranks_.size() && nowMs < verdictDueMs_; i++) {
    const bool waits = static_cast<int>(i) != verdict_->rank && !ranks_[i].left && ranks_[i].watch != nullptr;
    if (waits && !ranks_[i].hasSeenVerdict) return;
  }
  verdictPassed_ = true;
  if (ranks_[0].watch != nullptr) send(*ranks_[0].watch, encode(*verdict_));
}

}  // namespace relic::comm
