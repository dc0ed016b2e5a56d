// Which rank, if any, has died or hangs, from what rank 0's store hears of each. No sockets and no clock of its own.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "comm/frames.h"

namespace relic::comm {

struct WatchLimits {
  int64_t heartbeatMs = 5000;
  int64_t collectiveMs = 600000;
};

class RankWatch {
 public:
  struct Finding {
    // -1: no rank in particular.
    int rank = -1;
    std::string reason;
  };

  RankWatch(int size, WatchLimits limits, int64_t nowMs)
      : limits_(limits), turnMs_(nowMs), ranks_(static_cast<size_t>(size), Rank{nowMs, {}, true}) {}

  // Must be called often. When the last time is long ago, this process itself was not running: what others seemed to
  // miss meanwhile is forgotten.
  void turn(int64_t nowMs);
  void heard(int rank, Heartbeat heartbeat, int64_t nowMs);
  // No longer watched.
  void leave(int rank) { ranks_[static_cast<size_t>(rank)].watched = false; }
  // The longest pause of this process that others may have noticed and that ended within a heartbeat's limit; 0: none.
  int64_t ownPause(int64_t nowMs) const;
  std::optional<Finding> find(int64_t nowMs) const;
  const Heartbeat& last(int rank) const { return ranks_[static_cast<size_t>(rank)].last; }

 private:
  struct Rank {
    int64_t heardMs;
    Heartbeat last;
    bool watched;
  };
  std::optional<Finding> findStuck() const;

  WatchLimits limits_;
  int64_t turnMs_;
  int64_t pauseMs_ = 0, pauseEndMs_ = 0;
  std::vector<Rank> ranks_;
};

}  // namespace relic::comm
