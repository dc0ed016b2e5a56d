// A rank's watchdog: a thread that tells rank 0's store how far this rank is, and that ends the process when it learns
// that another rank has died, that rank 0 is gone, or that this rank is the one which hung.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "comm/frames.h"
#include "comm/progress.h"

namespace relic::comm {

// Exit codes, as in src/errors.ts.
inline constexpr int kPeerFailed = 71;
inline constexpr int kSelfHung = 72;

struct WatchdogOptions {
  int rank = 0;
  std::string host;
  int64_t pid = 0;
  std::string rankZeroHost;
  int64_t rankZeroPid = 0;
  int64_t heartbeatTimeoutMs = 5000;
  // Whether the death of the parent process ends this one.
  bool watchParent = false;
  Progress* progress = nullptr;
  // Ends the process with this code.
  std::function<void(const Verdict&, int code)> end;
};

class Watchdog {
 public:
  // `connection`: StoreClient::takeWatch().
  static Status start(WatchdogOptions options, Fd connection, std::unique_ptr<Watchdog>* out);
  // Stops watching. Unless the rank has left, the others take that for its death.
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // Tells the others that this rank ends by an error of its own. Returns when they know, or after 3 s. When the cause
  // turns out to be another rank, the process ends as it does for that.
  void fail(const std::string& code, const std::string& message);

 private:
  Watchdog(WatchdogOptions options, Fd connection);
  void loop();
  // One turn; false when there is nothing more to watch.
  bool turn();
  bool receive(int64_t nowMs);
  bool obey(const Verdict& verdict);
  bool rankZeroLost(const std::string& reason, int64_t nowMs);
  void beat(int64_t nowMs);
  // What this rank does now.
  Heartbeat look(int64_t nowMs) const;
  Verdict ownVerdict(std::string reason) const;

  const WatchdogOptions options_;
  const int parent_;
  Fd connection_;
  Interrupt interrupt_, failing_;
  std::thread thread_;

  std::mutex mutex_;
  std::condition_variable over_;
  bool isOver_ = false;
  std::string failCode_, failMessage_;

  // Of the thread.
  FrameReader in_{kMaxHello};
  SendQueue out_;
  bool failureSent_ = false;
  int64_t turnMs_ = 0, pulseMs_ = 0, nextBeatMs_ = 0;
  int64_t pauseMs_ = 0, pauseEndMs_ = 0;
};

}  // namespace relic::comm
