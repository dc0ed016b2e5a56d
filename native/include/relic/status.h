// How native code reports failure: a value with a stable code, never an exception, abort or exit.
#pragma once

#include <string>
#include <utility>

namespace relic {

// `code` is empty on success, else one of the package's error codes (src/errors.ts).
struct Status {
  std::string code;
  std::string message;

  bool ok() const { return code.empty(); }
  static Status success() { return {}; }
  static Status failure(std::string code, std::string message) { return {std::move(code), std::move(message)}; }
};

}  // namespace relic
