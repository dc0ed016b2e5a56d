#include "comm/frames.h"

#include <algorithm>
#include <cstring>

namespace relic::comm {
namespace {

constexpr char kMagic[] = "relic-train rank";
// A first piece of a long frame that is taken on trust; more is made room for as it comes.
constexpr size_t kPiece = 1 << 20;

}  // namespace

void Writer::putWhole(uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) bytes_.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

void Writer::putText(const std::string& text) {
  put32(static_cast<uint32_t>(text.size()));
  putBytes(text.data(), text.size());
}

void Writer::putBytes(const void* data, size_t bytes) {
  const auto* from = static_cast<const uint8_t*>(data);
  bytes_.insert(bytes_.end(), from, from + bytes);
}

Bytes Writer::finish(uint64_t following) {
  const uint64_t length = bytes_.size() - 8 + following;
  for (size_t i = 0; i < 8; i++) bytes_[i] = static_cast<uint8_t>(length >> (8 * i));
  return std::move(bytes_);
}

uint64_t Reader::getWhole(size_t bytes) {
  ok_ = ok_ && left() >= bytes;
  if (!ok_) return 0;
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; i++) value |= static_cast<uint64_t>(at_[i]) << (8 * i);
  at_ += bytes;
  return value;
}

std::string Reader::getText() {
  const size_t length = get32();
  ok_ = ok_ && left() >= length;
  if (!ok_) return {};
  std::string text(reinterpret_cast<const char*>(at_), length);
  at_ += length;
  return text;
}

Bytes encode(const Hello& hello) {
  Writer writer(FrameType::hello);
  writer.putText(kMagic);
  writer.put32(kProtocol);
  for (const auto* text : {&hello.runId, &hello.identity, &hello.version, &hello.abi, &hello.host}) {
    writer.putText(*text);
  }
  writer.put32(static_cast<uint32_t>(hello.rank));
  writer.put32(static_cast<uint32_t>(hello.size));
  for (const int64_t number : {hello.pid, hello.timeoutMs, hello.heartbeatTimeoutMs, hello.collectiveTimeoutMs}) {
    writer.put64(static_cast<uint64_t>(number));
  }
  writer.put64(hello.token);
  return writer.finish();
}

bool decode(Reader& reader, Hello* hello, uint32_t* protocol) {
  *protocol = 0;
  if (reader.getText() != kMagic) return false;
  *protocol = reader.get32();
  if (*protocol != kProtocol) return false;
  for (auto* text : {&hello->runId, &hello->identity, &hello->version, &hello->abi, &hello->host}) {
    *text = reader.getText();
  }
  hello->rank = static_cast<int32_t>(reader.get32());
  hello->size = static_cast<int32_t>(reader.get32());
  for (auto* number : {&hello->pid, &hello->timeoutMs, &hello->heartbeatTimeoutMs, &hello->collectiveTimeoutMs}) {
    *number = static_cast<int64_t>(reader.get64());
  }
  hello->token = reader.get64();
  return reader.ok();
}

Bytes encode(const Heartbeat& heartbeat) {
  Writer writer(FrameType::heartbeat);
  writer.put64(static_cast<uint64_t>(heartbeat.step));
  writer.put64(heartbeat.entered);
  writer.put8(heartbeat.waiting ? 1 : 0);
  writer.put64(static_cast<uint64_t>(heartbeat.ageMs));
  writer.putText(heartbeat.what);
  return writer.finish();
}

bool decode(Reader& reader, Heartbeat* heartbeat) {
  heartbeat->step = static_cast<int64_t>(reader.get64());
  heartbeat->entered = reader.get64();
  heartbeat->waiting = reader.get8() != 0;
  heartbeat->ageMs = static_cast<int64_t>(reader.get64());
  heartbeat->what = reader.getText();
  return reader.ok();
}

Bytes encode(const Verdict& verdict) {
  Writer writer(FrameType::verdict);
  writer.put32(static_cast<uint32_t>(verdict.rank));
  writer.put64(static_cast<uint64_t>(verdict.pid));
  writer.put64(static_cast<uint64_t>(verdict.step));
  for (const auto* text : {&verdict.host, &verdict.what, &verdict.reason}) writer.putText(*text);
  return writer.finish();
}

bool decode(Reader& reader, Verdict* verdict) {
  verdict->rank = static_cast<int32_t>(reader.get32());
  verdict->pid = static_cast<int64_t>(reader.get64());
  verdict->step = static_cast<int64_t>(reader.get64());
  for (auto* text : {&verdict->host, &verdict->what, &verdict->reason}) *text = reader.getText();
  return reader.ok();
}

Bytes encode(FrameType type, std::initializer_list<std::string> texts) {
  Writer writer(type);
  for (const auto& text : texts) writer.putText(text);
  return writer.finish();
}

std::string abi() {
#if defined(__APPLE__)
  const std::string system = "darwin";
#else
  const std::string system = "linux";
#endif
#if defined(__x86_64__)
  return system + "-x64";
#elif defined(__aarch64__)
  return system + "-arm64";
#else
  return system + "-other";
#endif
}

FrameReader::Result FrameReader::read(const Fd& fd, size_t budget) {
  for (;;) {
    if (have_ < sizeof(header_)) {
      const ptrdiff_t received = tryReceive(fd, header_ + have_, sizeof(header_) - have_);
      if (received < 0) return Result::over;
      if (received == 0) return Result::nothing;
      have_ += static_cast<size_t>(received);
      continue;
    }
    uint64_t length = 0;
    for (size_t i = 0; i < sizeof(header_); i++) length |= static_cast<uint64_t>(header_[i]) << (8 * i);
    if (length == 0 || length > limit_) return Result::over;
    const size_t at = have_ - sizeof(header_);
    if (at == length) return Result::frame;
    if (budget == 0) return Result::nothing;
    if (at == body_.size()) body_.resize(std::min<size_t>(length, std::max(kPiece, 2 * at)));
    const ptrdiff_t received = tryReceive(fd, body_.data() + at, std::min(budget, body_.size() - at));
    if (received < 0) return Result::over;
    if (received == 0) return Result::nothing;
    have_ += static_cast<size_t>(received);
    budget -= static_cast<size_t>(received);
  }
}

Bytes FrameReader::take() {
  have_ = 0;
  return std::move(body_);
}

Chunk chunkOf(Bytes bytes) {
  const size_t length = bytes.size();
  return {std::make_shared<const Bytes>(std::move(bytes)), 0, length};
}

bool SendQueue::flush(const Fd& fd) {
  while (!chunks_.empty()) {
    auto& chunk = chunks_.front();
    const ptrdiff_t sent = chunk.length == 0 ? 0 : trySend(fd, chunk.bytes->data() + chunk.from, chunk.length);
    if (sent < 0) return false;
    chunk.from += static_cast<size_t>(sent);
    chunk.length -= static_cast<size_t>(sent);
    if (chunk.length == 0) chunks_.pop_front();
    else if (sent == 0) return true;
  }
  return true;
}

}  // namespace relic::comm
