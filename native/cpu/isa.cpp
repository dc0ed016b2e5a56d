#include "isa.h"

#include <cstring>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "kernels/kernels.h"

namespace relic {
namespace {

struct Candidate {
  const Kernels& (*get)();
  bool (*runsHere)();
  // Products of bfloat16 factors; null without them.
  const ProductKernels& (*bf16)();
  bool (*bf16RunsHere)();
  // Otherwise equal to the next set.
  bool onlyForBf16;
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

bool hasAvx512Bf16() { return __builtin_cpu_supports("avx512bf16"); }

// Whether the CPU has the instructions, and the system saves their registers for this process. Linux does so from 5.16 on
// for a process that asks, and for all its threads (Documentation/arch/x86/xstate.rst); where it refuses, the first use
// would end the process.
bool hasAmx() {
#if defined(__linux__)
  static const bool granted = [] {
    constexpr unsigned kBf16 = 1u << 22, kTiles = 1u << 24;
    constexpr long kAskForState = 0x1023, kTileData = 18;
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (!hasAvx512() || !hasAvx512Bf16() || __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
    if ((edx & kBf16) == 0 || (edx & kTiles) == 0) return false;
    return syscall(SYS_arch_prctl, kAskForState, kTileData) == 0;
  }();
  return granted;
#else
  return false;
#endif
}

const Kernels& amxKernels() {
  static const Kernels kernels = [] {
    Kernels copy = avx512Kernels();
    copy.name = "amx";
    return copy;
  }();
  return kernels;
}
#endif

// Best first.
constexpr Candidate kCandidates[] = {
#if defined(__x86_64__)
    {amxKernels, hasAmx, amxBf16Product, hasAmx, true},
    {avx512Kernels, hasAvx512, avx512Bf16Product, hasAvx512Bf16, false},
    {avx2Kernels, hasAvx2, nullptr, nullptr, false},
#elif defined(__aarch64__)
    {neonKernels, always, nullptr, nullptr, false},
#endif
    {genericKernels, always, nullptr, nullptr, false},
};

}  // namespace

std::vector<const char*> availableIsas() {
  std::vector<const char*> names;
  for (const Candidate& candidate : kCandidates) {
    if (!candidate.onlyForBf16 && candidate.runsHere()) names.push_back(candidate.get().name);
  }
  return names;
}

std::vector<const char*> bf16Isas() {
  std::vector<const char*> names;
  for (const Candidate& candidate : kCandidates) {
    if (candidate.bf16 && candidate.runsHere() && candidate.bf16RunsHere()) names.push_back(candidate.get().name);
  }
  return names;
}

const Kernels* kernelsFor(const char* name) {
  const bool best = name == nullptr || *name == '\0';
  for (const Candidate& candidate : kCandidates) {
    if (best && candidate.onlyForBf16) continue;
    // By the name first: that some can run here is found out by asking the system.
    const Kernels& kernels = candidate.get();
    if ((best || std::strcmp(kernels.name, name) == 0) && candidate.runsHere()) return &kernels;
  }
  return nullptr;
}

const ProductKernels* bf16ProductOf(const Kernels& kernels) {
  for (const Candidate& candidate : kCandidates) {
    if (&candidate.get() == &kernels) return candidate.bf16 && candidate.bf16RunsHere() ? &candidate.bf16() : nullptr;
  }
  return nullptr;
}

}  // namespace relic
