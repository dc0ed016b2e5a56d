// Which kernel sets this binary holds and this CPU can run.
#pragma once

#include <vector>

namespace relic {

struct Kernels;

// Names of the usable kernel sets, best first: avx512, avx2, neon, generic.
std::vector<const char*> availableIsas();

// The kernels of this name, or of the best set for "" and null; null when the name is unknown or cannot run here.
const Kernels* kernelsFor(const char* name);

}  // namespace relic
