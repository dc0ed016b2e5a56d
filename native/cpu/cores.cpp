#include "cores.h"

#if defined(__linux__)
#include <sched.h>
#endif

namespace relic {

#if defined(__linux__)

int currentCore() { return sched_getcpu(); }

void leaveCores(const std::vector<int>& cores) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
  cpu_set_t others = allowed;
  for (const int core : cores) {
    if (core >= 0 && core < CPU_SETSIZE) CPU_CLR(static_cast<size_t>(core), &others);
  }
  if (CPU_COUNT(&others) == 0) return;
  if (sched_setaffinity(0, sizeof(others), &others) == 0) sched_setaffinity(0, sizeof(allowed), &allowed);
}

#else

int currentCore() { return -1; }
void leaveCores(const std::vector<int>&) {}

#endif

}  // namespace relic
