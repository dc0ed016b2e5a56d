#include "comm/store_client.h"

#include <algorithm>
#include <limits>

#include "comm/progress.h"
#include "comm/store_table.h"

namespace relic::comm {
namespace {

constexpr int64_t kNoDeadline = std::numeric_limits<int64_t>::max() / 2;
constexpr int64_t kConnectMs = 5000;
constexpr int64_t kRetryMs = 100;
// What the store may be late with an answer that it owes at a deadline.
constexpr int64_t kSlackMs = 2000;

}  // namespace

Status StoreClient::join(const JoinOptions& options) {
  const Hello& hello = options.hello;
  rank_ = hello.rank;
  size_ = hello.size;
  const int64_t deadlineMs = steadyMs() + hello.timeoutMs;
  for (;;) {
    bool final = false;
    auto status = connectOnce(options, deadlineMs, &final);
    if (status.ok()) return status;
    requests_.close();
    watch_.close();
    if (final || interrupt_.isRaised()) return status;
    if (steadyMs() + kRetryMs >= deadlineMs) {
      return ranksFailure("rank " + std::to_string(rank_) + " did not find rank 0 of " + std::to_string(size_) +
                          " within " + seconds(hello.timeoutMs) + ": " + status.message +
                          "\n  fix: start rank 0, and check its address, its port and the firewall in between");
    }
    RELIC_TRY(sleepUntil(steadyMs() + kRetryMs, interrupt_));
  }
}

// `final`: another try would not help.
Status StoreClient::connectOnce(const JoinOptions& options, int64_t deadlineMs, bool* final) {
  // The store is to answer by this rank's deadline, however many tries there were.
  Hello remaining = options.hello;
  remaining.timeoutMs = std::max<int64_t>(1, deadlineMs - steadyMs());
  const auto hello = encode(remaining);
  if (hello.size() > kMaxHello) {
    *final = true;
    return ranksFailure("run id, identity, version and host name are longer than " + std::to_string(kMaxHello) +
                        " bytes together");
  }
  const auto connectMs = [&] { return std::min(deadlineMs, steadyMs() + kConnectMs); };
  RELIC_TRY(connectTo(options.host, options.port, connectMs(), interrupt_, &requests_));
  RELIC_TRY(sendAll(requests_, hello.data(), hello.size(), deadlineMs, interrupt_));
  Bytes frame;
  RELIC_TRY(receiveRefusable(FrameType::welcome, deadlineMs + kSlackMs, &frame, final));
  Reader welcome(frame);
  welcome.get8();

  // From here on this is the right store, which waits for the others.
  *final = true;
  RELIC_TRY(connectTo(options.host, options.port, connectMs(), interrupt_, &watch_));
  Writer watchHello(FrameType::watchHello);
  watchHello.put32(static_cast<uint32_t>(rank_));
  watchHello.put64(welcome.get64());
  const auto bytes = watchHello.finish();
  RELIC_TRY(sendAll(watch_, bytes.data(), bytes.size(), deadlineMs, interrupt_));
  bool refused = false;
  if (auto status = receiveRefusable(FrameType::ready, deadlineMs + kSlackMs, &frame, &refused); !status.ok()) {
    if (refused || interrupt_.isRaised()) return status;
    return ranksFailure("rank 0 went away before all ranks had come: " + status.message);
  }
  Reader ready(frame);
  ready.get8();
  rankZero_.host = ready.getText();
  rankZero_.pid = static_cast<int64_t>(ready.get64());
  rankZero_.heartbeatTimeoutMs = static_cast<int64_t>(ready.get64());
  return Status::success();
}

Status StoreClient::receiveRefusable(FrameType expected, int64_t deadlineMs, Bytes* frame, bool* refused) {
  RELIC_TRY(receiveFrame(deadlineMs, frame));
  Reader reader(*frame);
  const auto type = static_cast<FrameType>(reader.get8());
  if (type == expected) return Status::success();
  *refused = type == FrameType::refused;
  return ranksFailure(*refused ? reader.getText() : "another program answers at that port");
}

Status StoreClient::receiveFrame(int64_t deadlineMs, Bytes* frame) {
  uint8_t header[8];
  RELIC_TRY(receiveAll(requests_, header, sizeof(header), deadlineMs, interrupt_));
  uint64_t length = 0;
  for (size_t i = 0; i < sizeof(header); i++) length |= static_cast<uint64_t>(header[i]) << (8 * i);
  // All of a frame's parts together can be longer than one that a rank may send.
  const uint64_t most = kMaxFrame * static_cast<uint64_t>(std::max(1, size_));
  if (length == 0 || length > most) return ranksFailure("another program answers at that port");
  frame->clear();
  frame->resize(length);
  return receiveAll(requests_, frame->data(), length, deadlineMs, interrupt_);
}

Status StoreClient::exchange(const Call& call, const Bytes& payload, Bytes* frame) {
  if (interrupt_.isRaised()) return ranksFailure("this process has stopped taking part");
  if (!requests_.isOpen()) return ranksFailure("the connection to rank 0 was closed");
  Writer writer(FrameType::request);
  writer.put8(static_cast<uint8_t>(call.op));
  writer.put64(call.position);
  writer.put64(static_cast<uint64_t>(call.timeoutMs));
  writer.putText(call.name);
  const auto header = writer.finish(payload.size());
  RELIC_TRY(sendAll(requests_, header.data(), header.size(), kNoDeadline, interrupt_));
  RELIC_TRY(sendAll(requests_, payload.data(), payload.size(), kNoDeadline, interrupt_));
  return receiveFrame(kNoDeadline, frame);
}

Status StoreClient::call(const Call& call, const Bytes& payload, Bytes* answer) {
  Bytes frame;
  if (auto status = exchange(call, payload, &frame); !status.ok()) {
    // Half an exchange leaves nothing to go on with. Whoever interrupts says what else is to end, and when: a closed
    // connection would be taken for this rank's death.
    if (!interrupt_.isRaised()) requests_.close();
    return ranksFailure("'" + call.name + "': " + status.message);
  }
  Reader reader(frame);
  reader.get8();
  if (reader.get8() == 0) return ranksFailure(reader.getText());
  if (answer != nullptr) {
    frame.erase(frame.begin(), frame.begin() + 2);
    *answer = std::move(frame);
  }
  return Status::success();
}

Status StoreClient::set(const std::string& key, const Bytes& value) {
  return call({Op::set, key, 0, 0}, value, nullptr);
}

Status StoreClient::get(const std::string& key, int64_t timeoutMs, Bytes* value) {
  return call({Op::get, key, 0, timeoutMs}, {}, value);
}

Status StoreClient::add(const std::string& key, int64_t increment, int64_t* sum) {
  Bytes payload, answer;
  for (int i = 0; i < 8; i++) payload.push_back(static_cast<uint8_t>(static_cast<uint64_t>(increment) >> (8 * i)));
  RELIC_TRY(call({Op::add, key, 0, 0}, payload, &answer));
  *sum = static_cast<int64_t>(Reader(answer).get64());
  return Status::success();
}

Status StoreClient::barrier(const std::string& name, int64_t timeoutMs) {
  return call({Op::barrier, name, position_++, timeoutMs}, {}, nullptr);
}

Status StoreClient::allGather(const std::string& name, const Bytes& own, std::vector<Bytes>* all) {
  Bytes answer;
  RELIC_TRY(call({Op::allGather, name, position_++, 0}, own, &answer));
  Reader lengths(answer);
  const uint8_t* from = answer.data() + 8 * static_cast<size_t>(size_);
  for (int rank = 0; rank < size_; rank++) {
    const uint64_t length = lengths.get64();
    if (!lengths.ok() || length > static_cast<size_t>(answer.data() + answer.size() - from)) {
      return ranksFailure("allGather '" + name + "': rank 0 answered with less than it announced");
    }
    all->emplace_back(from, from + length);
    from += length;
  }
  return Status::success();
}

Status StoreClient::broadcast(const std::string& name, Bytes* value) {
  return call({Op::broadcast, name, position_++, 0}, rank_ == 0 ? *value : Bytes{}, value);
}

Status StoreClient::leave() { return call({Op::leave, "leave", 0, 0}, {}, nullptr); }

}  // namespace relic::comm
