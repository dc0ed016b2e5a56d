// Rows of one head read straight from global memory, for kernels that do not tile.
#pragma once

#include "cuda/device.h"
#include "cuda/tensor.h"

namespace relic::cuda {

// Elements of 16 bytes.
template <typename T>
constexpr int kVector = 16 / static_cast<int>(sizeof(T));

// Columns col .. col + kVector of a row; zeros from `width` on. `aligned`: the row starts at a multiple of 16 bytes,
// and width is a whole number of vectors.
template <typename T>
__device__ __forceinline__ void readVector(float (&to)[kVector<T>], const T* row, int col, int width, bool aligned) {
  if (aligned) {
    alignas(16) T elements[kVector<T>];
    *reinterpret_cast<uint4*>(elements) = *reinterpret_cast<const uint4*>(row + col);
    RELIC_UNROLL
    for (int i = 0; i < kVector<T>; i++) to[i] = toFloat(elements[i]);
  } else {
    RELIC_UNROLL
    for (int i = 0; i < kVector<T>; i++) to[i] = col + i < width ? toFloat(row[col + i]) : 0.0f;
  }
}

}  // namespace relic::cuda
