// AVX-512 (F, BW, VL, DQ).
#if defined(__GNUC__) && !defined(__clang__)
// GCC's own header leaves "undefined" operands of its intrinsics uninitialised on purpose and then warns of them.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "kernels.h"

namespace relic {
namespace {

constexpr const char* kName = "avx512";

#include "body/avx512.inl"

#include "body/all.inl"

}  // namespace

const Kernels& avx512Kernels() { return kKernels; }

}  // namespace relic
