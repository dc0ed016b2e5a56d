// Rank 0's store: a thread that ranks connect to, each with two connections: one for requests, one for heartbeats. It
// decides who may join, serves StoreTable, and when RankWatch finds a dead or stuck rank tells all others.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "comm/frames.h"
#include "comm/rank_watch.h"
#include "comm/store_table.h"

namespace relic::comm {

class StoreServer {
 public:
  // Listens on exactly this address and port; 0 is any. `busy` tells whether the port is the reason of a failure.
  static Status host(const std::string& address, int port, std::unique_ptr<StoreServer>* out, bool* busy);
  // Ends at once; ranks that have not left take it for the death of rank 0.
  ~StoreServer();
  StoreServer(const StoreServer&) = delete;
  StoreServer& operator=(const StoreServer&) = delete;

  int port() const { return listening_.port; }
  // What rank 0 shows in its hello. Until it has come, others wait.
  uint64_t token() const { return token_; }

 private:
  enum class Channel { unknown, waitingForRankZero, requests, watch };
  struct Connection {
    Fd fd;
    FrameReader in{kMaxHello};
    SendQueue out;
    Channel channel = Channel::unknown;
    int rank = -1;
    int64_t openedMs = 0;
    std::optional<Hello> hello;
    // To be closed once all is sent; nothing more is read.
    bool ending = false;
    bool over = false;
  };
  struct Rank {
    std::optional<Hello> hello;
    // Of a rank that went away before all had joined, or was refused; for messages.
    std::string note;
    uint64_t nonce = 0;
    Connection* requests = nullptr;
    Connection* watch = nullptr;
    bool left = false;
    bool hasSeenVerdict = false;
    int64_t deadlineMs = 0;
  };

  StoreServer() = default;
  void loop();
  // One turn; false when the thread is to end.
  bool turn();
  void poll(int64_t mostMs);
  void accept();
  void read(Connection& connection);
  void handle(Connection& connection, Bytes frame);
  void send(Connection& connection, Bytes frame);
  void closeOver();

  // Joining, in store_joining.cpp.
  void hear(Connection& connection, Bytes& frame);
  void hearHello(Connection& connection);
  void hearWatchHello(Connection& connection, Bytes& frame);
  std::optional<std::string> refusalOf(const Hello& hello) const;
  void refuse(Connection& connection, const std::string& reason);
  void openRun(const Hello& rankZero);
  void startIfComplete();
  void expireJoining(int64_t nowMs);
  void giveUp(const std::string& reason);
  std::string missingRanks() const;

  // Afterwards.
  void handleWatched(Connection& connection, Bytes& frame);
  void leave(int rank);
  void lost(Connection& connection);
  void watchRanks(int64_t nowMs);
  void sendPulses(int64_t nowMs);
  void endLeaving(int64_t nowMs);
  // The first verdict counts. It is held back until `dueMs`, should its cause be another rank's death.
  void suspect(Verdict verdict, int64_t dueMs);
  void judge(Verdict verdict);
  Verdict verdictOn(int rank, std::string reason) const;
  void passVerdict(int64_t nowMs);

  Listening listening_;
  Interrupt interrupt_;
  uint64_t token_ = 0;
  std::thread thread_;

  // Of the thread.
  std::list<Connection> connections_;
  bool acceptFails_ = false;
  std::optional<Hello> run_;
  std::string givenUp_;
  std::vector<Rank> ranks_;
  bool started_ = false;
  std::optional<StoreTable> table_;
  std::optional<RankWatch> watch_;
  int64_t nextPulseMs_ = 0;
  int64_t leaveDeadlineMs_ = 0;
  std::optional<Verdict> suspicion_, verdict_;
  int64_t suspicionDueMs_ = 0, verdictDueMs_ = 0;
  bool verdictPassed_ = false;
};

// "rank 1 on host n1, process 123".
std::string placeOf(const Hello& hello);

}  // namespace relic::comm
