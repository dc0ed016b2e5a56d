#include "comm/process_end.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <system_error>
#include <thread>

#include "comm/progress.h"

namespace relic::comm {
namespace {

constexpr int64_t kEndMs = 4000;
constexpr int64_t kLingerMs = 1000;
constexpr int64_t kAbortMs = 2000;
constexpr int64_t kErrorLineMs = 200;
// A pipe takes as much in one piece.
constexpr size_t kMostLine = 2000;

std::atomic<void (*)()> abortHook{nullptr};

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", static_cast<unsigned>(c));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

// Others see the whole file or none. Nobody is left to be told of a failure.
void writeFile(const std::string& path, const std::string& text) {
  const std::string temporary = path + "." + std::to_string(getpid()) + ".tmp";
  const Fd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!fd.isOpen()) return;
  const ssize_t written = write(fd.get(), text.data(), text.size());
  const bool whole = written == static_cast<ssize_t>(text.size()) && fsync(fd.get()) == 0;
  if (!whole || rename(temporary.c_str(), path.c_str()) != 0) unlink(temporary.c_str());
}

// Its reader may be gone, or not read.
void writeErrorLine(const std::string& line) {
  pollfd polled = {STDERR_FILENO, POLLOUT, 0};
  if (poll(&polled, 1, static_cast<int>(kErrorLineMs)) != 1 || (polled.revents & POLLOUT) == 0) return;
  if (write(STDERR_FILENO, line.data(), line.size()) < 0) return;
}

// False when the system has no thread to give.
template <typename Work>
bool inBackground(Work work) {
  try {
    std::thread(work).detach();
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

void callAbortHook() {
  void (*const hook)() = abortHook;
  if (hook == nullptr) return;
  static std::atomic<bool> done{false};
  if (!inBackground([hook] {
        hook();
        done = true;
      })) {
    return;
  }
  const Interrupt never;
  for (const int64_t endMs = steadyMs() + kAbortMs; !done && steadyMs() < endMs;) sleepUntil(steadyMs() + 10, never);
}

}  // namespace

void setAbortHook(void (*hook)()) { abortHook = hook; }

std::string verdictJson(const Verdict& verdict, int rank, int code) {
  const std::string culprit = verdict.rank < 0 ? "null" : std::to_string(verdict.rank);
  return "{\"rank\":" + culprit + ",\"host\":" + quoted(verdict.host) + ",\"pid\":" + std::to_string(verdict.pid) +
         ",\"step\":" + std::to_string(verdict.step) + ",\"what\":" + quoted(verdict.what) +
         ",\"reason\":" + quoted(verdict.reason) + ",\"reported_by\":" + std::to_string(rank) +
         ",\"exit_code\":" + std::to_string(code) + "}\n";
}

std::string verdictLine(const Verdict& verdict, int rank, int code) {
  std::string line = "relic-train: rank " + std::to_string(rank) + " ends with " + std::to_string(code) + ": ";
  if (verdict.rank >= 0) {
    line += "rank " + std::to_string(verdict.rank) + " (host " + verdict.host + ", process " +
            std::to_string(verdict.pid) + ") failed in step " + std::to_string(verdict.step);
    if (!verdict.what.empty()) line += ", in " + verdict.what;
    line += ": ";
  }
  line += verdict.reason;
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line.substr(0, kMostLine) + "\n";
}

void endProcess(const Verdict& verdict, int rank, const std::string& directory, int code) {
  // A dead file server must not keep the process.
  inBackground([code] {
    const Interrupt never;
    sleepUntil(steadyMs() + kEndMs, never);
    _exit(code);
  });
  if (!directory.empty()) {
    writeFile(directory + "/rank." + std::to_string(rank) + ".fail.json", verdictJson(verdict, rank, code));
  }
  writeErrorLine(verdictLine(verdict, rank, code));
  callAbortHook();
  // Some launchers kill all others when the first ends: each shall have said what it knows by then.
  const Interrupt never;
  sleepUntil(steadyMs() + kLingerMs, never);
  _exit(code);
}

}  // namespace relic::comm
