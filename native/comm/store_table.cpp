#include "comm/store_table.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace relic::comm {
namespace {

// A list of more ranks than this is cut: nobody reads it.
constexpr size_t kMostListed = 32;

const char* wordOf(Op op) {
  switch (op) {
    case Op::barrier:
      return "barrier";
    case Op::allGather:
      return "allGather";
    case Op::broadcast:
      return "broadcast";
    default:
      return "call";
  }
}

std::string callOf(Op op, const std::string& name) { return std::string(wordOf(op)) + " '" + name + "'"; }

}  // namespace

std::string listRanks(const std::vector<int>& ranks, int size) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  const size_t listed = std::min(ranks.size(), kMostListed);
  for (size_t i = 0; i < listed; i++) {
    if (i > 0) text += i + 1 == ranks.size() ? " and " : ", ";
    text += std::to_string(ranks[i]);
  }
  if (listed < ranks.size()) text += " and " + std::to_string(ranks.size() - listed) + " more";
  return text + " of " + std::to_string(size);
}

std::string seconds(int64_t ms) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f s", static_cast<double>(ms) / 1000);
  return text;
}

bool StoreTable::request(int rank, Bytes frame, int64_t nowMs) {
  const auto bytes = std::make_shared<const Bytes>(std::move(frame));
  Reader reader(*bytes);
  reader.get8();
  Request request;
  request.op = static_cast<Op>(reader.get8());
  request.position = reader.get64();
  request.timeoutMs = static_cast<int64_t>(reader.get64());
  request.name = reader.getText();
  if (!reader.ok()) return false;
  request.payload = {bytes, static_cast<size_t>(reader.at() - bytes->data()), reader.left()};
  switch (request.op) {
    case Op::set:
      values_[request.name] = request.payload;
      answerBytes(rank, {});
      for (size_t i = 0; i < getters_.size();) {
        if (getters_[i].key == request.name) {
          answerBytes(getters_[i].rank, {request.payload});
          getters_.erase(getters_.begin() + static_cast<ptrdiff_t>(i));
        } else {
          i++;
        }
      }
      return true;
    case Op::get:
      get(rank, request, nowMs);
      return true;
    case Op::add:
      add(rank, request);
      return true;
    case Op::barrier:
    case Op::allGather:
    case Op::broadcast:
      collect(rank, std::move(request), nowMs);
      return true;
    default:
      return false;
  }
}

void StoreTable::get(int rank, const Request& request, int64_t nowMs) {
  const auto value = values_.find(request.name);
  if (value != values_.end()) return answerBytes(rank, {value->second});
  getters_.push_back({rank, request.name, nowMs + request.timeoutMs, request.timeoutMs});
}

void StoreTable::add(int rank, const Request& request) {
  uint64_t increment = 0;
  if (request.payload.length != sizeof(increment)) return answerFailure(rank, "an increment has 8 bytes");
  for (size_t i = 0; i < sizeof(increment); i++) {
    increment |= static_cast<uint64_t>((*request.payload.bytes)[request.payload.from + i]) << (8 * i);
  }
  auto& counter = counters_[request.name];
  // Wraps around rather than overflow.
  counter = static_cast<int64_t>(static_cast<uint64_t>(counter) + increment);
  Bytes result(sizeof(counter));
  for (size_t i = 0; i < result.size(); i++) {
    result[i] = static_cast<uint8_t>(static_cast<uint64_t>(counter) >> (8 * i));
  }
  answerBytes(rank, {chunkOf(std::move(result))});
}

void StoreTable::collect(int rank, Request request, int64_t nowMs) {
  const uint64_t index = request.position - base_;
  if (request.position < base_ || index > collectives_.size()) return answerFailure(rank, "this call was made before");
  if (index == collectives_.size()) {
    collectives_.push_back({request.op, request.name, rank, std::vector<Part>(static_cast<size_t>(size_)), ""});
  }
  auto& collective = collectives_[index];
  auto& part = collective.parts[static_cast<size_t>(rank)];
  if (part.here) return answerFailure(rank, "this call was made before");
  const int64_t deadlineMs = request.timeoutMs > 0 ? nowMs + request.timeoutMs : 0;
  part = {true, true, nowMs, deadlineMs, request.timeoutMs, std::move(request.payload)};
  if (collective.failure.empty() && (collective.op != request.op || collective.name != request.name)) {
    const auto calls = [](int number, Op op, const std::string& name) {
      return "rank " + std::to_string(number) + " calls " + callOf(op, name);
    };
    fail(collective, "the ranks do not do the same: as collective number " + std::to_string(request.position + 1) +
                         " " + calls(rank, request.op, request.name) + ", but " +
                         calls(collective.first, collective.op, collective.name));
  } else if (!collective.failure.empty()) {
    fail(collective, collective.failure);
  } else {
    for (int other = 0; other < size_; other++) {
      if (!left_[static_cast<size_t>(other)] || collective.parts[static_cast<size_t>(other)].here) continue;
      fail(collective, callOf(request.op, request.name) + " cannot be done: rank " + std::to_string(other) +
                           " has left the run");
      break;
    }
    finish(collective);
  }
  dropFinished();
}

std::vector<int> StoreTable::missing(const Collective& collective) const {
  std::vector<int> ranks;
  for (int rank = 0; rank < size_; rank++) {
    if (!collective.parts[static_cast<size_t>(rank)].here) ranks.push_back(rank);
  }
  return ranks;
}

// Answers those who can be.
void StoreTable::finish(Collective& collective) {
  if (!collective.failure.empty()) return;
  auto& parts = collective.parts;
  const bool ready = collective.op == Op::broadcast ? parts[0].here : missing(collective).empty();
  if (!ready) return;
  std::vector<Chunk> result;
  if (collective.op == Op::broadcast) result = {parts[0].bytes};
  if (collective.op == Op::allGather) {
    Bytes lengths;
    for (const auto& part : parts) {
      for (int i = 0; i < 8; i++) lengths.push_back(static_cast<uint8_t>(uint64_t{part.bytes.length} >> (8 * i)));
    }
    result.push_back(chunkOf(std::move(lengths)));
    for (const auto& part : parts) result.push_back(part.bytes);
  }
  for (int rank = 0; rank < size_; rank++) {
    auto& part = parts[static_cast<size_t>(rank)];
    if (!part.waits) continue;
    part.waits = false;
    answerBytes(rank, result);
  }
}

void StoreTable::fail(Collective& collective, const std::string& failure) {
  collective.failure = failure;
  for (int rank = 0; rank < size_; rank++) {
    auto& part = collective.parts[static_cast<size_t>(rank)];
    part.bytes = {};
    if (!part.waits) continue;
    part.waits = false;
    answerFailure(rank, failure);
  }
}

void StoreTable::dropFinished() {
  while (!collectives_.empty() && missing(collectives_.front()).empty()) {
    collectives_.pop_front();
    base_++;
  }
}

void StoreTable::expire(int64_t nowMs) {
  for (size_t i = 0; i < getters_.size();) {
    if (nowMs < getters_[i].deadlineMs) {
      i++;
      continue;
    }
    answerFailure(getters_[i].rank,
                  "no rank has set '" + getters_[i].key + "' within " + seconds(getters_[i].timeoutMs));
    getters_.erase(getters_.begin() + static_cast<ptrdiff_t>(i));
  }
  for (auto& collective : collectives_) {
    const auto late = std::find_if(collective.parts.begin(), collective.parts.end(), [&](const Part& part) {
      return part.waits && part.deadlineMs != 0 && nowMs >= part.deadlineMs;
    });
    if (late == collective.parts.end()) continue;
    const auto absent = missing(collective);
    fail(collective, callOf(collective.op, collective.name) + ": " + listRanks(absent, size_) +
                         (absent.size() == 1 ? " has" : " have") + " not come within " + seconds(late->timeoutMs));
  }
}

void StoreTable::leave(int rank) {
  left_[static_cast<size_t>(rank)] = true;
  for (auto& collective : collectives_) {
    auto& part = collective.parts[static_cast<size_t>(rank)];
    if (!part.here && collective.failure.empty()) {
      fail(collective, callOf(collective.op, collective.name) + " cannot be done: rank " + std::to_string(rank) +
                           " has left the run");
    }
    part.here = true;
  }
  dropFinished();
}

std::optional<StoreTable::Stuck> StoreTable::stuck(int64_t nowMs, int64_t limitMs) const {
  for (const auto& collective : collectives_) {
    const auto absent = missing(collective);
    for (const auto& part : collective.parts) {
      if (!part.waits || nowMs - part.sinceMs < limitMs || absent.empty()) continue;
      // What others wait for in a broadcast is rank 0's part alone, which is then the first that is missing.
      return Stuck{absent.front(), callOf(collective.op, collective.name), size_ - static_cast<int>(absent.size()),
                   nowMs - part.sinceMs};
    }
  }
  return std::nullopt;
}

size_t StoreTable::bytes() const {
  size_t total = 0;
  for (const auto& [key, value] : values_) total += value.length;
  for (const auto& collective : collectives_) {
    for (const auto& part : collective.parts) total += part.bytes.length;
  }
  return total;
}

void StoreTable::answerBytes(int rank, std::vector<Chunk> parts) {
  uint64_t length = 0;
  for (const auto& part : parts) length += part.length;
  Writer writer(FrameType::reply);
  writer.put8(1);
  parts.insert(parts.begin(), chunkOf(writer.finish(length)));
  answer_(rank, std::move(parts));
}

void StoreTable::answerFailure(int rank, const std::string& message) {
  Writer writer(FrameType::reply);
  writer.put8(0);
  writer.putText(message);
  answer_(rank, {chunkOf(writer.finish())});
}

}  // namespace relic::comm
