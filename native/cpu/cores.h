// Which core a thread runs on, and how it leaves one that another thread of ours needs.
#pragma once

#include <vector>

namespace relic {

// The core this thread runs on now; -1 where the system does not say.
int currentCore();

// Moves this thread off `cores`, if it may run on another one. The set of cores it may run on stays as it was: the
// scheduler is free to move it again.
void leaveCores(const std::vector<int>& cores);

}  // namespace relic
