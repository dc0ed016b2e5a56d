// librelic_gloo.so: collectives over the point-to-point messages of Gloo. Its own all-reduce is a ring, which is ten times
// slower than halving and doubling between few ranks; and since each message here has one peer, whoever fails is named.
#define RELIC_GLOO_BUILD
#include "comm/relic_gloo.h"

#include <gloo/config.h>
#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/store.h>
#include <gloo/transport/tcp/device.h>
#include <gloo/transport/unbound_buffer.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using std::chrono::milliseconds;

constexpr const char* kCancelled = "the call was cancelled";

thread_local std::string lastError;

// Runs a call of the interface: no exception leaves it.
template <typename Work>
int32_t call(const Work& work) noexcept {
  try {
    work();
    return 0;
  } catch (const std::exception& error) {
    lastError = error.what();
  } catch (...) {
    lastError = "an unknown exception";
  }
  return 1;
}

class Store : public gloo::rendezvous::Store {
 public:
  Store(const RelicGlooStore& store, milliseconds timeout) : store_(store), timeout_(timeout) {}

  void set(const std::string& key, const std::vector<char>& data) override {
    if (store_.set(store_.context, key.c_str(), data.data(), data.size()) != 0) {
      throw std::runtime_error("the address of this rank could not be left for the others");
    }
  }

  std::vector<char> get(const std::string& key) override { return get(key, timeout_); }

  void wait(const std::vector<std::string>& keys) override { wait(keys, timeout_); }

  void wait(const std::vector<std::string>& keys, const milliseconds& timeout) override {
    for (const std::string& key : keys) get(key, timeout);
  }

 private:
  std::vector<char> get(const std::string& key, milliseconds timeout) {
    std::vector<char> bytes;
    const auto take = [](void* taker, const void* data, size_t count) {
      static_cast<std::vector<char>*>(taker)->assign(static_cast<const char*>(data),
                                                     static_cast<const char*>(data) + count);
    };
    // Gloo's keys are the numbers of ranks.
    if (store_.get(store_.context, key.c_str(), timeout.count(), &bytes, take) != 0) {
      throw std::runtime_error("no address of a rank came within " + std::to_string(timeout.count()) + " ms: " + key);
    }
    return bytes;
  }

  const RelicGlooStore store_;
  const milliseconds timeout_;
};

// Units [from, to) of a message's memory.
struct Range {
  size_t from, to;
  size_t size() const { return to - from; }
};

struct Halves {
  Range lower, upper;
};

Halves halvesOf(Range range) {
  const size_t middle = range.from + range.size() / 2;
  return {{range.from, middle}, {middle, range.to}};
}

}  // namespace

struct RelicGloo {
 public:
  explicit RelicGloo(const RelicGlooOptions& options) : timeout_(options.timeout_ms) {
    const gloo::transport::tcp::attr attributes(options.address);
    auto device = gloo::transport::tcp::CreateDevice(attributes);
    Store store(options.store, timeout_);
    auto context = std::make_shared<gloo::rendezvous::Context>(options.rank, options.size);
    context->setTimeout(timeout_);
    context->connectFullMesh(store, device);
    context_ = std::move(context);
  }

  // Recursive halving, then doubling (Thakur et al. 2005). Ranks beyond the largest power of two give their part to another
  // one and get the result from it.
  void allReduceSum(float* data, size_t count) {
    slot_++;
    const int size = context_->size, rank = context_->rank;
    const Range all{0, count};
    int power = 1;
    while (2 * power <= size) power *= 2;
    Message own(*this, data, count, sizeof(float));
    if (rank >= power) {
      own.send(rank - power, all);
      own.receive(rank - power, all);
      return;
    }
    received_.resize(count);
    Message incoming(*this, received_.data(), count, sizeof(float));
    const auto add = [&](Range range) {
      for (size_t i = range.from; i < range.to; i++) data[i] += received_[i];
    };
    const int extra = rank + power;
    if (extra < size) {
      incoming.receive(extra, all);
      add(all);
    }
    // What this rank has the sum of, before and after each halving.
    std::vector<Range> ranges = {all};
    for (int distance = power / 2; distance > 0; distance /= 2) {
      const Halves halves = halvesOf(ranges.back());
      const bool lower = (rank & distance) == 0;
      const Range kept = lower ? halves.lower : halves.upper;
      exchange(rank ^ distance, own, lower ? halves.upper : halves.lower, incoming, kept);
      add(kept);
      ranges.push_back(kept);
    }
    for (int distance = 1; distance < power; distance *= 2) {
      const Range kept = ranges.back();
      ranges.pop_back();
      const Halves halves = halvesOf(ranges.back());
      exchange(rank ^ distance, own, kept, own, (rank & distance) == 0 ? halves.upper : halves.lower);
    }
    if (extra < size) own.send(extra, all);
  }

  // A binomial tree from the root.
  void broadcast(void* data, size_t bytes, int root) {
    slot_++;
    const int size = context_->size;
    const int place = (context_->rank - root + size) % size;
    Message message(*this, data, bytes, 1);
    int distance = 1;
    while (distance < size) distance *= 2;
    for (distance /= 2; distance > 0; distance /= 2) {
      if (place % (2 * distance) == 0 && place + distance < size) {
        message.send((place + distance + root) % size, {0, bytes});
      } else if (place % (2 * distance) == distance) {
        message.receive((place - distance + root) % size, {0, bytes});
      }
    }
  }

  // Every rank sends its part to every other one: parts are small.
  void allGather(const void* in, size_t bytes, void* out) {
    slot_++;
    const int size = context_->size, rank = context_->rank;
    const auto partOf = [&](int of) { return Range{bytes * static_cast<size_t>(of), bytes * static_cast<size_t>(of + 1)}; };
    std::memcpy(static_cast<char*>(out) + partOf(rank).from, in, bytes);
    Message message(*this, out, bytes * static_cast<size_t>(size), 1);
    for (int step = 1; step < size; step++) {
      const int to = (rank + step) % size, from = (rank - step + size) % size;
      message.startReceive(from, partOf(from));
      message.startSend(to, partOf(rank));
      message.endReceive(from, partOf(from));
      message.endSend(to, partOf(rank));
    }
  }

  void cancel() {
    const std::lock_guard<std::mutex> lock(mutex_);
    cancelled_ = true;
    for (gloo::transport::UnboundBuffer* buffer : buffers_) {
      buffer->abortWaitRecv();
      buffer->abortWaitSend();
    }
  }

 private:
  // Memory of `count` units, parts of which are sent and received. Nothing is sent for an empty part.
  class Message {
   public:
    Message(RelicGloo& gloo, void* data, size_t count, size_t unit)
        : gloo_(gloo), unit_(unit), buffer_(gloo.context_->createUnboundBuffer(data, count * unit)) {
      const std::lock_guard<std::mutex> lock(gloo.mutex_);
      if (gloo.cancelled_) throw std::runtime_error(kCancelled);
      gloo.buffers_.push_back(buffer_.get());
    }
    ~Message() {
      const std::lock_guard<std::mutex> lock(gloo_.mutex_);
      gloo_.buffers_.erase(std::find(gloo_.buffers_.begin(), gloo_.buffers_.end(), buffer_.get()));
    }
    Message(const Message&) = delete;
    Message& operator=(const Message&) = delete;

    void startSend(int to, Range part) {
      on(to, part, [&] {
        buffer_->send(to, gloo_.slot_, part.from * unit_, part.size() * unit_);
        return true;
      });
    }
    void startReceive(int from, Range part) {
      on(from, part, [&] {
        buffer_->recv(from, gloo_.slot_, part.from * unit_, part.size() * unit_);
        return true;
      });
    }
    void endSend(int to, Range part) {
      on(to, part, [&] { return buffer_->waitSend(gloo_.timeout_); });
    }
    void endReceive(int from, Range part) {
      on(from, part, [&] { return buffer_->waitRecv(gloo_.timeout_); });
    }
    void send(int to, Range part) {
      startSend(to, part);
      endSend(to, part);
    }
    void receive(int from, Range part) {
      startReceive(from, part);
      endReceive(from, part);
    }

   private:
    // Work that is false was cancelled. Gloo knows addresses; people know ranks.
    template <typename Work>
    void on(int peer, Range part, const Work& work) {
      if (part.size() == 0) return;
      bool done = false;
      try {
        done = work();
      } catch (const std::exception& error) {
        throw std::runtime_error("rank " + std::to_string(peer) + " does not answer: " + error.what());
      }
      if (!done) throw std::runtime_error(kCancelled);
    }

    RelicGloo& gloo_;
    const size_t unit_;
    const std::unique_ptr<gloo::transport::UnboundBuffer> buffer_;
  };

  static void exchange(int peer, Message& out, Range sent, Message& in, Range received) {
    in.startReceive(peer, received);
    out.startSend(peer, sent);
    in.endReceive(peer, received);
    out.endSend(peer, sent);
  }

  const milliseconds timeout_;
  std::shared_ptr<gloo::Context> context_;
  // Of the running collective: what one sends is not taken for a part of the next.
  uint64_t slot_ = 0;
  std::vector<float> received_;
  std::mutex mutex_;
  bool cancelled_ = false;
  // That may be waited for now.
  std::vector<gloo::transport::UnboundBuffer*> buffers_;
};

extern "C" {

int32_t relic_gloo_abi_version(void) { return RELIC_GLOO_ABI_VERSION; }

const char* relic_gloo_last_error(void) { return lastError.c_str(); }

int32_t relic_gloo_open(const RelicGlooOptions* options, RelicGloo** out) {
  return call([&] { *out = new RelicGloo(*options); });
}

int32_t relic_gloo_all_reduce_sum(RelicGloo* gloo, float* data, int64_t count) {
  return call([&] { gloo->allReduceSum(data, static_cast<size_t>(count)); });
}

int32_t relic_gloo_broadcast(RelicGloo* gloo, void* data, size_t bytes, int32_t root) {
  return call([&] { gloo->broadcast(data, bytes, root); });
}

int32_t relic_gloo_all_gather(RelicGloo* gloo, const void* in, size_t bytes, void* out) {
  return call([&] { gloo->allGather(in, bytes, out); });
}

void relic_gloo_cancel(RelicGloo* gloo) {
  call([&] { gloo->cancel(); });
}

void relic_gloo_close(RelicGloo* gloo) {
  call([&] { delete gloo; });
}

}  // extern "C"
