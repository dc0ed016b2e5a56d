// Which kernel sets this binary holds and this CPU can run.
#pragma once

#include <vector>

namespace relic {

struct Kernels;
struct ProductKernels;

// Names of the usable kernel sets, best first: avx512, avx2, neon, generic.
std::vector<const char*> availableIsas();

// Names of those that can round the factors of products to bfloat16, best first: amx, avx512. `amx` is avx512 with those
// products on AMX. To name them, the process asks the system once for leave to use AMX's registers.
std::vector<const char*> bf16Isas();

// The kernels of one of either list, or the best of the first for "" and null; null when the name is unknown or cannot
// run here.
const Kernels* kernelsFor(const char* name);

// Products of the same set whose factors are rounded to bfloat16; null where this CPU has no instructions for them.
const ProductKernels* bf16ProductOf(const Kernels& kernels);

}  // namespace relic
