// A rank's side of rank 0's store. Calls wait for their answer; one thread at a time makes calls, any may interrupt.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/frames.h"

namespace relic::comm {

struct JoinOptions {
  std::string host;
  int port = 0;
  // hello.timeoutMs is how long to wait for the other ranks.
  Hello hello;
};

class StoreClient {
 public:
  // Returns when all ranks have joined.
  Status join(const JoinOptions& options);

  Status set(const std::string& key, const Bytes& value);
  Status get(const std::string& key, int64_t timeoutMs, Bytes* value);
  Status add(const std::string& key, int64_t increment, int64_t* sum);
  // Collectives: the same calls with the same names on all ranks, in the same order. `timeoutMs` 0: no limit.
  Status barrier(const std::string& name, int64_t timeoutMs);
  Status allGather(const std::string& name, const Bytes& own, std::vector<Bytes>* all);
  // `value` is read on rank 0 and written on others.
  Status broadcast(const std::string& name, Bytes* value);
  // The goodbye. On rank 0 it returns when all have left, or after the store's limit.
  Status leave();

  // Ends a call that waits, and all later ones.
  void interrupt() { interrupt_.raise(); }

  // After join(): the connection for heartbeats, to be taken once, and what rank 0 said of itself.
  Fd takeWatch() { return std::move(watch_); }
  struct RankZero {
    std::string host;
    int64_t pid = 0;
    int64_t heartbeatTimeoutMs = 0;
  };
  const RankZero& rankZero() const { return rankZero_; }

 private:
  Status connectOnce(const JoinOptions& options, int64_t deadlineMs, bool* final);
  Status receiveFrame(int64_t deadlineMs, Bytes* frame);
  Status receiveRefusable(FrameType expected, int64_t deadlineMs, Bytes* frame, bool* refused);
  struct Call {
    Op op;
    std::string name;
    uint64_t position;
    int64_t timeoutMs;
  };
  // `answer` receives the payload of a good reply.
  Status call(const Call& call, const Bytes& payload, Bytes* answer);
  Status exchange(const Call& call, const Bytes& payload, Bytes* frame);

  int rank_ = 0;
  int size_ = 0;
  Interrupt interrupt_;
  Fd requests_, watch_;
  RankZero rankZero_;
  uint64_t position_ = 0;
};

}  // namespace relic::comm
