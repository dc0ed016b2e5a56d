// The folder for a watchdog's last words, which becomes known after the watchdog has started.
#pragma once

#include <mutex>
#include <string>
#include <utility>

namespace relic {

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
