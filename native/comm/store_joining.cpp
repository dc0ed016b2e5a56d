// How ranks join the store of rank 0, or why they may not.
#include <algorithm>

#include "comm/progress.h"
#include "comm/store_server.h"

namespace relic::comm {
namespace {

constexpr int32_t kMostRanks = 65536;

std::string differs(const Hello& hello, const std::string& what, const std::string& own, const std::string& rankZero) {
  return placeOf(hello) + " does not fit this run: " + what + " is " + own + " there, and " + rankZero + " on rank 0";
}

}  // namespace

std::string placeOf(const Hello& hello) {
  return "rank " + std::to_string(hello.rank) + " on host " + hello.host + ", process " + std::to_string(hello.pid);
}

// What a connection says first. Whoever says something else is not of this program, and is dropped.
void StoreServer::hear(Connection& connection, Bytes& frame) {
  Reader reader(frame);
  const auto type = static_cast<FrameType>(reader.get8());
  if (type == FrameType::watchHello) return hearWatchHello(connection, frame);
  Hello hello;
  uint32_t protocol = 0;
  if (type != FrameType::hello) {
    connection.over = true;
  } else if (decode(reader, &hello, &protocol)) {
    connection.hello = std::move(hello);
    hearHello(connection);
  } else if (protocol != 0) {
    refuse(connection, "this rank and rank 0 are of versions of relic-train that do not understand each other "
                       "(protocol " + std::to_string(protocol) + " and " + std::to_string(kProtocol) +
                           "): install the same one everywhere");
  } else {
    connection.over = true;
  }
}

void StoreServer::hearHello(Connection& connection) {
  const Hello& hello = *connection.hello;
  if (!givenUp_.empty()) return refuse(connection, givenUp_);
  if (!run_ && hello.token == token_) openRun(hello);
  if (!run_) {
    connection.channel = Channel::waitingForRankZero;
    return;
  }
  if (const auto refusal = refusalOf(hello)) {
    if (!started_ && hello.rank >= 0 && hello.rank < run_->size) {
      auto& rank = ranks_[static_cast<size_t>(hello.rank)];
      if (!rank.hello) rank.note = "was refused: " + *refusal;
    }
    return refuse(connection, *refusal);
  }
  auto& rank = ranks_[static_cast<size_t>(hello.rank)];
  rank.hello = hello;
  // Unlike any other rank's of any run.
  rank.nonce = token_ + static_cast<uint64_t>(hello.rank) + 1;
  rank.deadlineMs = steadyMs() + hello.timeoutMs;
  rank.requests = &connection;
  connection.channel = Channel::requests;
  connection.rank = hello.rank;
  connection.in.setLimit(kMaxFrame);
  Writer welcome(FrameType::welcome);
  welcome.put64(rank.nonce);
  send(connection, welcome.finish());
}

std::optional<std::string> StoreServer::refusalOf(const Hello& hello) const {
  const auto number = [](int64_t value) { return std::to_string(value); };
  if (hello.runId != run_->runId) {
    return differs(hello, "the run's id", "'" + hello.runId + "'", "'" + run_->runId + "'") +
           ". It belongs to another run that uses the same address and port";
  }
  if (hello.version != run_->version) {
    return differs(hello, "the version of relic-train", hello.version, run_->version);
  }
  if (hello.abi != run_->abi) return differs(hello, "the platform", hello.abi, run_->abi);
  if (hello.size != run_->size) {
    return differs(hello, "the number of ranks", number(hello.size), number(run_->size));
  }
  if (hello.rank < 0 || hello.rank >= run_->size) {
    return placeOf(hello) + ": expected a rank from 0 to " + number(run_->size - 1);
  }
  const auto& rank = ranks_[static_cast<size_t>(hello.rank)];
  if (rank.hello || (hello.rank == 0 && hello.token != token_)) {
    const Hello& other = hello.rank == 0 ? *run_ : *rank.hello;
    return "two processes say that they are rank " + number(hello.rank) + ": process " + number(other.pid) +
           " on host " + other.host + ", which came first, and process " + number(hello.pid) + " on host " +
           hello.host +
           ". A stale exported RANK, or two launchers, would do that: unset RANK and WORLD_SIZE, or start once";
  }
  if (hello.identity != run_->identity) return differs(hello, "the set-up", hello.identity, run_->identity);
  return std::nullopt;
}

void StoreServer::hearWatchHello(Connection& connection, Bytes& frame) {
  Reader reader(frame);
  reader.get8();
  const auto number = static_cast<int32_t>(reader.get32());
  const uint64_t nonce = reader.get64();
  const bool known = reader.ok() && run_ && number >= 0 && number < run_->size;
  Rank* rank = known ? &ranks_[static_cast<size_t>(number)] : nullptr;
  if (rank == nullptr || !rank->hello || rank->nonce != nonce || rank->watch != nullptr) {
    connection.over = true;
    return;
  }
  rank->watch = &connection;
  connection.channel = Channel::watch;
  connection.rank = number;
  startIfComplete();
}

void StoreServer::refuse(Connection& connection, const std::string& reason) {
  send(connection, encode(FrameType::refused, {reason}));
  connection.ending = true;
}

// Rank 0's hello says what this run is; those who came earlier are judged by it.
void StoreServer::openRun(const Hello& rankZero) {
  run_ = rankZero;
  run_->size = std::clamp(run_->size, 1, kMostRanks);
  ranks_ = std::vector<Rank>(static_cast<size_t>(run_->size));
  for (auto& connection : connections_) {
    if (connection.channel != Channel::waitingForRankZero || connection.over) continue;
    connection.channel = Channel::unknown;
    hearHello(connection);
  }
}

void StoreServer::startIfComplete() {
  for (const auto& rank : ranks_) {
    if (rank.watch == nullptr || rank.requests == nullptr) return;
  }
  started_ = true;
  Writer ready(FrameType::ready);
  ready.putText(run_->host);
  ready.put64(static_cast<uint64_t>(run_->pid));
  ready.put64(static_cast<uint64_t>(run_->heartbeatTimeoutMs));
  const auto chunk = chunkOf(ready.finish());
  for (auto& rank : ranks_) rank.requests->out.add(chunk);
  table_.emplace(run_->size, [this](int rank, std::vector<Chunk> parts) {
    Connection* connection = ranks_[static_cast<size_t>(rank)].requests;
    if (connection == nullptr) return;
    for (auto& part : parts) connection->out.add(std::move(part));
  });
  watch_.emplace(run_->size, WatchLimits{run_->heartbeatTimeoutMs, run_->collectiveTimeoutMs}, steadyMs());
}

std::string StoreServer::missingRanks() const {
  std::vector<int> missing;
  std::string notes;
  for (int number = 0; number < run_->size; number++) {
    const auto& rank = ranks_[static_cast<size_t>(number)];
    if (rank.requests != nullptr && rank.watch != nullptr) continue;
    missing.push_back(number);
    if (!rank.note.empty()) notes += "\n  rank " + std::to_string(number) + " " + rank.note;
  }
  return listRanks(missing, run_->size) + (missing.size() == 1 ? " has" : " have") + " not come" + notes;
}

void StoreServer::expireJoining(int64_t nowMs) {
  if (started_ || !givenUp_.empty()) return;
  for (auto& connection : connections_) {
    if (connection.channel != Channel::waitingForRankZero || connection.ending || connection.over) continue;
    const int64_t timeoutMs = connection.hello->timeoutMs;
    if (nowMs - connection.openedMs < timeoutMs) continue;
    refuse(connection, "rank 0 has not come within " + seconds(timeoutMs) + ", though it opened its port");
  }
  for (const auto& rank : ranks_) {
    if (!rank.hello || nowMs < rank.deadlineMs) continue;
    return giveUp(missingRanks() + ", and " + placeOf(*rank.hello) + ", waits no longer");
  }
}

void StoreServer::giveUp(const std::string& reason) {
  givenUp_ = reason;
  for (auto& rank : ranks_) {
    if (rank.requests != nullptr) refuse(*rank.requests, reason);
  }
}

}  // namespace relic::comm
