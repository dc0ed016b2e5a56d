#include "isa.h"

#include <cstring>

#include "kernels/kernels.h"

namespace relic {
namespace {

using Getter = const Kernels& (*)();

struct Candidate {
  Getter get;
  bool (*runsHere)();
};

bool always() { return true; }

#if defined(__x86_64__)
bool hasAvx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("popcnt");
}

bool hasAvx512() {
  return hasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
#endif

// Best first.
constexpr Candidate kCandidates[] = {
#if defined(__x86_64__)
    {avx512Kernels, hasAvx512},
    {avx2Kernels, hasAvx2},
#elif defined(__aarch64__)
    {neonKernels, always},
#endif
    {genericKernels, always},
};

}  // namespace

std::vector<const char*> availableIsas() {
  std::vector<const char*> names;
  for (const Candidate& candidate : kCandidates) {
    if (candidate.runsHere()) names.push_back(candidate.get().name);
  }
  return names;
}

std::vector<const char*> bf16Isas() {
  std::vector<const char*> names;
  for (const char* name : availableIsas()) {
    if (bf16ProductOf(*kernelsFor(name)) != nullptr) names.push_back(name);
  }
  return names;
}

const Kernels* kernelsFor(const char* name) {
  const bool best = name == nullptr || *name == '\0';
  for (const Candidate& candidate : kCandidates) {
    if (!candidate.runsHere()) continue;
    const Kernels& kernels = candidate.get();
    if (best || std::strcmp(kernels.name, name) == 0) return &kernels;
  }
  return nullptr;
}

const ProductKernels* bf16ProductOf([[maybe_unused]] const Kernels& kernels) {
#if defined(__x86_64__)
  if (&kernels == &avx512Kernels() && __builtin_cpu_supports("avx512bf16")) return &avx512Bf16Product();
#endif
  return nullptr;
}

}  // namespace relic
