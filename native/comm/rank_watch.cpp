#include "comm/rank_watch.h"

#include "comm/store_table.h"

namespace relic::comm {

void RankWatch::turn(int64_t nowMs) {
  const int64_t pause = nowMs - turnMs_;
  turnMs_ = nowMs;
  if (pause < limits_.heartbeatMs / 2) return;
  pauseMs_ = pause;
  pauseEndMs_ = nowMs;
  for (auto& rank : ranks_) rank.heardMs = nowMs;
}

void RankWatch::heard(int rank, Heartbeat heartbeat, int64_t nowMs) {
  auto& entry = ranks_[static_cast<size_t>(rank)];
  entry.heardMs = nowMs;
  entry.last = std::move(heartbeat);
}

int64_t RankWatch::ownPause(int64_t nowMs) const {
  const bool recent = nowMs - pauseEndMs_ < limits_.heartbeatMs;
  return recent && isNoticeable(pauseMs_, limits_.heartbeatMs) ? pauseMs_ : 0;
}

std::optional<RankWatch::Finding> RankWatch::find(int64_t nowMs) const {
  for (size_t i = 0; i < ranks_.size(); i++) {
    const int64_t silentMs = nowMs - ranks_[i].heardMs;
    if (!ranks_[i].watched || silentMs <= limits_.heartbeatMs) continue;
    return Finding{static_cast<int>(i), "it was not heard of for " + seconds(silentMs) +
                                            ": it is stopped, or its machine or network is down"};
  }
  return findStuck();
}

std::optional<RankWatch::Finding> RankWatch::findStuck() const {
  for (size_t i = 0; i < ranks_.size(); i++) {
    const auto& waiting = ranks_[i].last;
    if (!ranks_[i].watched || !waiting.waiting || waiting.ageMs < limits_.collectiveMs) continue;
    int behind = -1;
    for (size_t j = 0; j < ranks_.size(); j++) {
      if (!ranks_[j].watched || ranks_[j].last.entered >= waiting.entered) continue;
      if (behind < 0 || ranks_[j].last.entered < ranks_[static_cast<size_t>(behind)].last.entered) {
        behind = static_cast<int>(j);
      }
    }
    const std::string what = waiting.what + ", collective number " + std::to_string(waiting.entered);
    if (behind >= 0) {
      return Finding{behind, "it keeps rank " + std::to_string(i) + " waiting for " + seconds(waiting.ageMs) + " in " +
                                 what + ", which it has not entered"};
    }
    return Finding{-1, "rank " + std::to_string(i) + " has waited for " + seconds(waiting.ageMs) + " in " + what +
                           ", which every rank has entered: the network or the communication library hangs"};
  }
  return std::nullopt;
}

}  // namespace relic::comm
