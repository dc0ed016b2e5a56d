// Float32 to 16 bits on the host, with the bits that the device's conversions give: to nearest, ties to even. Written
// without branches, so that loops over it become vector instructions.
#pragma once

#include <cstdint>
#include <cstring>

namespace relic::cuda {

inline uint32_t bitsOf(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

inline uint16_t bfloat16Of(float x) {
  const uint32_t bits = bitsOf(x);
  const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
  return static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fffu : rounded);
}

inline uint16_t halfOf(float x) {
  constexpr uint32_t kInfinity = 0x7f800000u, kOverflow = 0x477ff000u, kSmallestNormal = 0x38800000u;
  const uint32_t bits = bitsOf(x), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  const uint32_t normal = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1)) >> 13;
  // Subnormal halves are multiples of 2^-24, the distance of two floats from 0.5 on: the addition rounds to one.
  float number;
  std::memcpy(&number, &magnitude, sizeof number);
  const uint32_t subnormal = bitsOf(number + 0.5f) - bitsOf(0.5f);
  uint32_t half = magnitude < kSmallestNormal ? subnormal : normal;
  half = magnitude >= kOverflow ? 0x7c00u : half;
  return static_cast<uint16_t>(magnitude > kInfinity ? 0x7fffu : half | sign);
}

}  // namespace relic::cuda
