// Tensors on the device as the kernels take them, and access to their elements whatever their format.
//
// The format is a run-time value, the same for every thread of a launch: one kernel serves all combinations, and the
// branch costs nothing beside the memory access. Wide accesses are used where the address allows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/device.h"
#include "relic/math.h"

namespace relic::cuda {

enum class Format : int32_t { float32 = 0, bfloat16 = 1, float16 = 2 };

RELIC_HOST_DEVICE constexpr size_t bytesOf(Format format) { return format == Format::float32 ? 4 : 2; }

// A dense row-major matrix, or null.
struct Tensor {
  void* data = nullptr;
  Format format = Format::float32;

  bool isNull() const { return data == nullptr; }
  Tensor from(int64_t element) const {
    return {static_cast<char*>(data) + element * static_cast<int64_t>(bytesOf(format)), format};
  }
};

RELIC_HOST_DEVICE Tensor readOnly(const float* data) { return {const_cast<float*>(data), Format::float32}; }

#if defined(RELIC_EMULATE_CUDA) || defined(__CUDACC__)

__device__ __forceinline__ float loadOne(const Tensor& t, int64_t i) {
  if (t.format == Format::float32) return static_cast<const float*>(t.data)[i];
  if (t.format == Format::bfloat16) return toFloat(static_cast<const BFloat16*>(t.data)[i]);
  return toFloat(static_cast<const Half*>(t.data)[i]);
}

__device__ __forceinline__ void storeOne(const Tensor& t, int64_t i, float value) {
  if (t.format == Format::float32) {
    static_cast<float*>(t.data)[i] = value;
  } else if (t.format == Format::bfloat16) {
    static_cast<BFloat16*>(t.data)[i] = fromFloat<BFloat16>(value);
  } else {
    static_cast<Half*>(t.data)[i] = fromFloat<Half>(value);
  }
}

// Four elements that move as one: 16 bytes, or 8.
template <typename T>
struct alignas(4 * sizeof(T)) Four {
  T at[4];
};

template <typename T>
__device__ __forceinline__ void loadFour(const void* data, int64_t i, float (&out)[4]) {
  const Four<T> four = *reinterpret_cast<const Four<T>*>(static_cast<const T*>(data) + i);
#pragma unroll
  for (int k = 0; k < 4; k++) out[k] = toFloat(four.at[k]);
}

template <typename T>
__device__ __forceinline__ void storeFour(void* data, int64_t i, const float (&values)[4]) {
  Four<T> four;
#pragma unroll
  for (int k = 0; k < 4; k++) four.at[k] = fromFloat<T>(values[k]);
  *reinterpret_cast<Four<T>*>(static_cast<T*>(data) + i) = four;
}

__device__ __forceinline__ bool movesAsFour(const Tensor& t, int64_t i) {
  const size_t element = bytesOf(t.format);
  return (reinterpret_cast<size_t>(t.data) + static_cast<size_t>(i) * element) % (4 * element) == 0;
}

// Elements i .. i + n of at most four; those beyond n read as 0 and are not stored.
__device__ __forceinline__ void load4(const Tensor& t, int64_t i, int n, float (&out)[4]) {
  if (n == 4 && movesAsFour(t, i)) {
    if (t.format == Format::float32) return loadFour<float>(t.data, i, out);
    if (t.format == Format::bfloat16) return loadFour<BFloat16>(t.data, i, out);
    return loadFour<Half>(t.data, i, out);
  }
#pragma unroll
  for (int k = 0; k < 4; k++) out[k] = k < n ? loadOne(t, i + k) : 0.0f;
}

__device__ __forceinline__ void store4(const Tensor& t, int64_t i, int n, const float (&values)[4]) {
  if (n == 4 && movesAsFour(t, i)) {
    if (t.format == Format::float32) return storeFour<float>(t.data, i, values);
    if (t.format == Format::bfloat16) return storeFour<BFloat16>(t.data, i, values);
    return storeFour<Half>(t.data, i, values);
  }
#pragma unroll
  for (int k = 0; k < 4; k++) {
    if (k < n) storeOne(t, i + k, values[k]);
  }
}

// Writes the values, or adds them to what is there.
__device__ __forceinline__ void put4(const Tensor& t, int64_t i, int n, float (&values)[4], bool accumulate) {
  if (accumulate) {
    float before[4];
    load4(t, i, n, before);
#pragma unroll
    for (int k = 0; k < 4; k++) values[k] += before[k];
  }
  store4(t, i, n, values);
}

// The sum over a warp, the same in every lane and in every run.
__device__ __forceinline__ float warpSum(float value) {
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kFullWarp, value, offset);
  return value;
}

__device__ __forceinline__ float warpMax(float value) {
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kFullWarp, value, offset));
  }
  return value;
}

#endif

}  // namespace relic::cuda
