// The client of rank 0's store, shared between JavaScript's calls and the libraries that leave their addresses there.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "comm/key_value.h"
#include "comm/store_client.h"
#include "relic/status.h"

namespace relic {

class SharedStore final : public comm::KeyValue {
 public:
  // One call at a time: others wait.
  template <typename Work>
  Status run(Work&& work) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return work(client_);
  }

  Status set(const std::string& key, const std::vector<uint8_t>& bytes) override {
    return run([&](comm::StoreClient& client) { return client.set(key, bytes); });
  }
  Status get(const std::string& key, int64_t timeoutMs, std::vector<uint8_t>* bytes) override {
    return run([&](comm::StoreClient& client) { return client.get(key, timeoutMs, bytes); });
  }

  // From any thread: ends a call that waits, and all later ones.
  void interrupt() { client_.interrupt(); }

 private:
  std::mutex mutex_;
  comm::StoreClient client_;
};

// The folder for a watchdog's last words, which becomes known after the watchdog has started.
class FailDirectory {
 public:
  void set(std::string path) {
    const std::lock_guard<std::mutex> lock(mutex_);
    path_ = std::move(path);
  }
  std::string get() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return path_;
  }

 private:
  mutable std::mutex mutex_;
  std::string path_;
};

}  // namespace relic
