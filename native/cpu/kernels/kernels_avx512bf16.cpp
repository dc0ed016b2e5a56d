// Matrix products of AVX512_BF16: two multiply-adds a lane.
#if defined(__GNUC__) && !defined(__clang__)
// GCC's own header leaves "undefined" operands of its intrinsics uninitialised on purpose and then warns of them.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "kernels.h"

namespace relic {
namespace {

#include "body/avx512.inl"

constexpr int kDepthUnit = 1;

#include "body/words_bf16.inl"

RELIC_INLINE Vec multiplyAdd(Vec sum, Vec a, Vec b) {
  return (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
}

#include "body/tile.inl"
#include "body/transpose.inl"
#include "body/pack.inl"
#include "body/product.inl"

}  // namespace

const ProductKernels& avx512Bf16Product() { return kProduct; }

}  // namespace relic
