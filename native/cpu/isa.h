// Which kernel sets this binary holds and this CPU can run.
#pragma once

#include <vector>

namespace relic {

struct Kernels;
struct ProductKernels;

// Names of the usable kernel sets, best first: avx512, avx2, neon, generic.
std::vector<const char*> availableIsas();

// Those of them that can round the factors of products to bfloat16.
std::vector<const char*> bf16Isas();

// The kernels of this name, or of the best set for "" and null; null when the name is unknown or cannot run here.
const Kernels* kernelsFor(const char* name);

// Products of the same set whose factors are rounded to bfloat16; null where this CPU has no instructions for them.
const ProductKernels* bf16ProductOf(const Kernels& kernels);

}  // namespace relic
