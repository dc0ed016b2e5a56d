// Ranks that are threads of one process, with faults on demand: for tests of whatever stands on Comm.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "comm/comm.h"

namespace relic::comm {

// What happens to one rank at one of its calls, counted from 0.
struct Fault {
  enum class Kind {
    delay,  // it comes `ms` late
    drop,   // the call fails, on every rank
    hang,   // it never comes
  };
  Kind kind;
  int rank;
  int64_t call;
  int64_t ms = 0;
};

// The communicators of `size` ranks, each for a thread of its own. A rank that waits longer than timeoutMs for others fails
// and names them.
std::vector<std::unique_ptr<Comm>> makeInProcessRanks(int size, int64_t timeoutMs, const std::vector<Fault>& faults);

}  // namespace relic::comm
