// How native code reports failure: a value with a stable code, never an exception, abort or exit.
#pragma once

#include <string>
#include <utility>

// Returns from the calling function with the status when it is a failure.
#define RELIC_TRY(expression)                      \
  do {                                             \
    if (auto status_ = (expression); !status_.ok()) return status_; \
  } while (false)

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
