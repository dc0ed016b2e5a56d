// What rank 0's store keeps: values, counters, and the collectives that ranks are in. No sockets: requests come in and
// answers go out through a function.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/frames.h"

namespace relic::comm {

class StoreTable {
 public:
  // Sends a reply frame, in parts, to a rank.
  using Answer = std::function<void(int rank, std::vector<Chunk> parts)>;
  StoreTable(int size, Answer answer) : size_(size), left_(static_cast<size_t>(size)), answer_(std::move(answer)) {}

  // A frame of FrameType::request, whole but for its length. False when it is not one.
  bool request(int rank, Bytes frame, int64_t nowMs);
  // Answers those who have waited for longer than they wanted to.
  void expire(int64_t nowMs);
  // The rank is done: collectives that lack it cannot be finished.
  void leave(int rank);

  struct Stuck {
    // The first one that has not come.
    int rank = 0;
    std::string what;
    int come = 0;
    int64_t ageMs = 0;
  };
  // A collective that some rank has waited in for at least `limitMs`.
  std::optional<Stuck> stuck(int64_t nowMs, int64_t limitMs) const;
  // Bytes of values and of collectives that are under way.
  size_t bytes() const;

 private:
  struct Request {
    Op op{};
    // Counts the collectives of a rank.
    uint64_t position = 0;
    int64_t timeoutMs = 0;
    std::string name;
    Chunk payload;
  };
  struct Getter {
    int rank = 0;
    std::string key;
    int64_t deadlineMs = 0;
    int64_t timeoutMs = 0;
  };
  struct Part {
    bool here = false;
    // Waits for an answer, until the deadline when that is not 0.
    bool waits = false;
    int64_t sinceMs = 0, deadlineMs = 0, timeoutMs = 0;
    Chunk bytes;
  };
  struct Collective {
    Op op{};
    std::string name;
    int first = 0;
    std::vector<Part> parts;
    // Told to all who come; then no part is kept.
    std::string failure;
  };

  void get(int rank, const Request& request, int64_t nowMs);
  void add(int rank, const Request& request);
  void collect(int rank, Request request, int64_t nowMs);
  void finish(Collective& collective);
  void fail(Collective& collective, const std::string& failure);
  void dropFinished();
  std::vector<int> missing(const Collective& collective) const;
  void answerBytes(int rank, std::vector<Chunk> parts);
  void answerFailure(int rank, const std::string& message);

  int size_;
  std::vector<bool> left_;
  Answer answer_;
  std::map<std::string, Chunk> values_;
  std::map<std::string, int64_t> counters_;
  std::vector<Getter> getters_;
  // Those that not all ranks have done; the first has the position `base_`.
  std::deque<Collective> collectives_;
  uint64_t base_ = 0;
};

// "ranks 1, 4 and 5 of 8", "rank 1 of 2".
std::string listRanks(const std::vector<int>& ranks, int size);
std::string seconds(int64_t ms);

}  // namespace relic::comm
