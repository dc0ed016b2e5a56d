// What ranks and rank 0's store send each other: frames of a length (8 bytes, little-endian), a type (1 byte) and
// fields.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "comm/socket.h"

namespace relic::comm {

using Bytes = std::vector<uint8_t>;

inline constexpr uint32_t kProtocol = 1;
// What a connection may send before it has said who it is.
inline constexpr uint64_t kMaxHello = 1 << 16;
inline constexpr uint64_t kMaxFrame = uint64_t{1} << 36;

// How often ranks and the store tell each other that they are there.
inline constexpr int64_t kBeatMs = 250;

// A pause of a process that the others may take for its end: they have last heard of it up to a beat before, and look
// up to a beat later.
inline bool isNoticeable(int64_t pauseMs, int64_t heartbeatTimeoutMs) {
  return pauseMs >= heartbeatTimeoutMs - 2 * kBeatMs;
}

enum class FrameType : uint8_t {
  // From a rank, on its first connection, which then carries requests and replies.
  hello = 1,
  // From a rank, on its second connection, which carries what follows up to `closing`.
  watchHello,
  // From the store: a hello was taken, a hello was not taken, all ranks are here.
  welcome,
  refused,
  ready,
  heartbeat,
  // From the store to each rank: it is alive.
  pulse,
  // A rank ends by an error of its own.
  failing,
  verdict,
  verdictSeen,
  // From the store: it ends, and nothing is wrong.
  closing,
  request,
  reply,
};

enum class Op : uint8_t { set = 1, get, add, barrier, allGather, broadcast, leave };

struct Hello {
  std::string runId, identity, version, abi, host;
  int32_t rank = 0, size = 0;
  int64_t pid = 0;
  int64_t timeoutMs = 0, heartbeatTimeoutMs = 0, collectiveTimeoutMs = 0;
  // Proves that rank 0 is the process which hosts the store; 0 on others.
  uint64_t token = 0;
};

struct Heartbeat {
  int64_t step = 0;
  uint64_t entered = 0;
  bool waiting = false;
  // Of the collective that it waits in.
  int64_t ageMs = 0;
  std::string what;
};

// Why a run ends: which rank is to blame (-1: none in particular), where it runs and how far it was.
struct Verdict {
  int32_t rank = -1;
  std::string host;
  int64_t pid = 0;
  int64_t step = 0;
  std::string what, reason;
};
// How the reason begins when a rank said itself that it ends.
inline constexpr const char kOwnError[] = "it ended by its own error: ";

// Appends fields to a frame.
class Writer {
 public:
  explicit Writer(FrameType type) : bytes_(8) { put8(static_cast<uint8_t>(type)); }
  void put8(uint8_t value) { bytes_.push_back(value); }
  void put32(uint32_t value) { putWhole(value, 4); }
  void put64(uint64_t value) { putWhole(value, 8); }
  void putText(const std::string& text);
  void putBytes(const void* data, size_t bytes);
  // The frame, whose length counts `following` bytes that are sent behind it.
  Bytes finish(uint64_t following = 0);

 private:
  void putWhole(uint64_t value, int bytes);
  Bytes bytes_;
};

// Reads fields of a frame; after one that is not there, ok() is false and all further ones are 0 or empty.
class Reader {
 public:
  explicit Reader(const Bytes& frame) : at_(frame.data()), end_(frame.data() + frame.size()) {}
  uint8_t get8() { return static_cast<uint8_t>(getWhole(1)); }
  uint32_t get32() { return static_cast<uint32_t>(getWhole(4)); }
  uint64_t get64() { return getWhole(8); }
  std::string getText();
  size_t left() const { return static_cast<size_t>(end_ - at_); }
  const uint8_t* at() const { return at_; }
  bool ok() const { return ok_; }

 private:
  uint64_t getWhole(size_t bytes);
  const uint8_t* at_;
  const uint8_t* end_;
  bool ok_ = true;
};

Bytes encode(const Hello& hello);
// False when it is no hello; `protocol` is then 0, or another than kProtocol.
bool decode(Reader& reader, Hello* hello, uint32_t* protocol);
Bytes encode(const Heartbeat& heartbeat);
bool decode(Reader& reader, Heartbeat* heartbeat);
Bytes encode(const Verdict& verdict);
bool decode(Reader& reader, Verdict* verdict);
// A frame of texts alone.
Bytes encode(FrameType type, std::initializer_list<std::string> texts);

// "linux-x64": ranks of one run must be of one kind.
std::string abi();

// A frame as it arrives at a non-blocking socket.
class FrameReader {
 public:
  enum class Result { nothing, frame, over };
  explicit FrameReader(uint64_t limit) : limit_(limit) {}
  void setLimit(uint64_t limit) { limit_ = limit; }
  // Takes at most `budget` bytes. After `frame`, take() gives it; `over`: closed, or longer than allowed.
  Result read(const Fd& fd, size_t budget);
  // The frame without its length: the type, then fields.
  Bytes take();

 private:
  uint64_t limit_;
  uint8_t header_[8] = {};
  size_t have_ = 0;
  Bytes body_;
};

// A part of bytes that several connections may share.
struct Chunk {
  std::shared_ptr<const Bytes> bytes;
  size_t from = 0;
  size_t length = 0;
};
Chunk chunkOf(Bytes bytes);

// What is yet to be sent on a non-blocking socket.
class SendQueue {
 public:
  void add(Chunk chunk) { chunks_.push_back(std::move(chunk)); }
  bool empty() const { return chunks_.empty(); }
  // False when the connection is over.
  bool flush(const Fd& fd);

 private:
  std::deque<Chunk> chunks_;
};

}  // namespace relic::comm
