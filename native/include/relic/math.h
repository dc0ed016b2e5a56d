// Scalar maths of single elements, for every engine: the CPU's tests check the very bodies that the GPU runs.
//
// Vectorised forms of the same formulas are in native/cpu/kernels/body; ISA files must not include this header.
#pragma once

#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define RELIC_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define RELIC_HOST_DEVICE inline
#endif

namespace relic {

// --- Philox4x32 (Salmon et al. 2011; src/random/philox.ts) ---------------------------------------

constexpr int kMaskRounds = 7;

// What a round adds to the two words of the key.
constexpr uint32_t kPhiloxWeyl0 = 0x9e3779b9u, kPhiloxWeyl1 = 0xbb67ae85u;

RELIC_HOST_DEVICE void philoxRound(uint32_t word[4], uint32_t key0, uint32_t key1) {
  const uint64_t product0 = static_cast<uint64_t>(0xd2511f53u) * word[0];
  const uint64_t product1 = static_cast<uint64_t>(0xcd9e8d57u) * word[2];
  word[0] = static_cast<uint32_t>(product1 >> 32) ^ word[1] ^ key0;
  word[2] = static_cast<uint32_t>(product0 >> 32) ^ word[3] ^ key1;
  word[1] = static_cast<uint32_t>(product1);
  word[3] = static_cast<uint32_t>(product0);
}

RELIC_HOST_DEVICE void philox4x32(uint32_t word[4], uint32_t key0, uint32_t key1, int rounds) {
  for (int round = 0; round < rounds; round++) {
    philoxRound(word, key0, key1);
    key0 += kPhiloxWeyl0;
    key1 += kPhiloxWeyl1;
  }
}

// The 16-bit draw of element (row, col) of a dropout mask.
RELIC_HOST_DEVICE uint32_t maskDraw(uint32_t key0, uint32_t key1, uint32_t site, uint32_t step, uint32_t row,
                                    uint32_t col) {
  uint32_t word[4] = {row, col >> 3, site, step};
  philox4x32(word, key0, key1, kMaskRounds);
  // Chosen without an index, for which a GPU would put the words into memory.
  const bool odd = (col & 2) != 0;
  const uint32_t first = odd ? word[1] : word[0], second = odd ? word[3] : word[2];
  return ((col & 4) != 0 ? second : first) >> (16 * (col & 1)) & 0xffffu;
}

// --- Activations: value and derivative -----------------------------------------------------------

RELIC_HOST_DEVICE float normalCdf(float x) { return 0.5f * (1.0f + erff(x * 0.70710678f)); }
RELIC_HOST_DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

RELIC_HOST_DEVICE float gelu(float x) { return x * normalCdf(x); }
RELIC_HOST_DEVICE float geluSlope(float x) { return normalCdf(x) + x * 0.39894228f * expf(-0.5f * x * x); }
RELIC_HOST_DEVICE float relu(float x) { return x > 0.0f ? x : 0.0f; }
RELIC_HOST_DEVICE float reluSlope(float x) { return x > 0.0f ? 1.0f : 0.0f; }
RELIC_HOST_DEVICE float silu(float x) { return x * sigmoid(x); }
RELIC_HOST_DEVICE float siluSlope(float x) {
  const float s = sigmoid(x);
  return s * (1.0f + x * (1.0f - s));
}
RELIC_HOST_DEVICE float tanhSlope(float x) {
  const float y = tanhf(x);
  return 1.0f - y * y;
}

// --- Binary cross-entropy with logits (contract 1.7) ---------------------------------------------

RELIC_HOST_DEVICE double smoothedLabel(double label, double smoothing) {
  return label * (1.0 - smoothing) + 0.5 * smoothing;
}

// `label` is the smoothed one; `posWeight` multiplies the positive term.
RELIC_HOST_DEVICE double bceLoss(double logit, double label, double posWeight) {
  const double softplus = log1p(exp(-fabs(logit))) + (logit < 0.0 ? -logit : 0.0);
  return (1.0 - label) * logit + (1.0 + (posWeight - 1.0) * label) * softplus;
}

RELIC_HOST_DEVICE double bceSlope(double logit, double label, double posWeight) {
  const double negative = 1.0 / (1.0 + exp(logit));
  return 1.0 - label - (1.0 + (posWeight - 1.0) * label) * negative;
}

// --- Optimisers (src/engine/typescript/optimizer.ts) ---------------------------------------------

struct AdamWStep {
  float decay, stepSize, correction, oneMinusBeta1, beta2, oneMinusBeta2, eps;
};

RELIC_HOST_DEVICE void adamwElement(const AdamWStep& k, float& p, float g, float& m, float& v) {
  m += k.oneMinusBeta1 * (g - m);
  v = k.beta2 * v + k.oneMinusBeta2 * g * g;
  p = p * k.decay - k.stepSize * m / (sqrtf(v) * k.correction + k.eps);
}

}  // namespace relic
