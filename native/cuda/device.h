// The only header through which the files of native/cuda see CUDA.
//
// nvcc compiles them for the GPU. With RELIC_EMULATE_CUDA a plain C++ compiler makes the same kernels run on the CPU,
// block after block (native/test/cuda_emulation.h), so that their results, barriers and bounds are tested without a
// GPU. PTX stands in this file alone, each instruction in a small function with an emulated twin.
//
// A kernel starts by launch(kernel<float, 64>, grid, block, sharedBytes, stream, arguments...) in both worlds.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(RELIC_EMULATE_CUDA)
#include "../test/cuda_emulation.h"
#elif defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <utility>
#else
// C++ that calls kernels through functions: types of the runtime only.
#include <cuda_runtime_api.h>
#endif

#if defined(RELIC_EMULATE_CUDA) || defined(__CUDACC__)

namespace relic::cuda {

#if defined(RELIC_EMULATE_CUDA)
#define RELIC_UNROLL
#define RELIC_NO_UNROLL
#else
// Before a loop over registers: an array stays in registers only when every index is a constant.
#define RELIC_UNROLL _Pragma("unroll")
// Before a loop whose unrolling would cost more registers than it saves instructions.
#define RELIC_NO_UNROLL _Pragma("unroll 1")
#endif

constexpr int kWarpSize = 32;
constexpr unsigned kFullWarp = 0xffffffffu;
// What a block may have on every supported card: compute capability 8.9 sets the limit.
constexpr size_t kMaxSharedBytes = 99 * 1024;

// --- Launch and shared memory --------------------------------------------------------------------

#if defined(RELIC_EMULATE_CUDA)

using emulation::launch;

// The block's dynamic shared memory, aligned to 16 bytes.
template <typename T>
T* sharedMemory() {
  return static_cast<T*>(emulation::dynamicShared());
}

#else

// Queues a kernel; the error is that of the launch alone, faults of the kernel show at the next synchronisation.
template <typename... Parameters, typename... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t sharedBytes, cudaStream_t stream,
                   Arguments&&... arguments) {
  constexpr size_t kWithoutAsking = 48 * 1024;
  if (sharedBytes > kWithoutAsking) {
    const cudaError_t error = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                   static_cast<int>(sharedBytes));
    if (error != cudaSuccess) return error;
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = sharedBytes;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(std::forward<Arguments>(arguments))...);
}

template <typename T>
__device__ __forceinline__ T* sharedMemory() {
  extern __shared__ uint4 dynamicShared[];
  return reinterpret_cast<T*>(dynamicShared);
}

#endif

// --- 16-bit numbers ------------------------------------------------------------------------------

using BFloat16 = __nv_bfloat16;
using Half = __half;

__host__ __device__ __forceinline__ float toFloat(float x) { return x; }
__host__ __device__ __forceinline__ float toFloat(BFloat16 x) { return __bfloat162float(x); }
__host__ __device__ __forceinline__ float toFloat(Half x) { return __half2float(x); }

// Rounded to nearest, ties to even.
template <typename T>
__host__ __device__ __forceinline__ T fromFloat(float x);
template <>
__host__ __device__ __forceinline__ float fromFloat<float>(float x) {
  return x;
}
template <>
__host__ __device__ __forceinline__ BFloat16 fromFloat<BFloat16>(float x) {
  return __float2bfloat16_rn(x);
}
template <>
__host__ __device__ __forceinline__ Half fromFloat<Half>(float x) {
  return __float2half_rn(x);
}

// Two numbers in a register of a matrix fragment, `low` in its low half.
template <typename T>
__device__ __forceinline__ uint32_t packPair(float low, float high);

#if defined(RELIC_EMULATE_CUDA)

template <>
inline uint32_t packPair<BFloat16>(float low, float high) {
  return emulation::bfloat16Bits(low) | static_cast<uint32_t>(emulation::bfloat16Bits(high)) << 16;
}
template <>
inline uint32_t packPair<Half>(float low, float high) {
  return emulation::halfBits(low) | static_cast<uint32_t>(emulation::halfBits(high)) << 16;
}

#else

template <>
__device__ __forceinline__ uint32_t packPair<BFloat16>(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
template <>
__device__ __forceinline__ uint32_t packPair<Half>(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

#endif

// --- Instructions --------------------------------------------------------------------------------

// 2^x to two units in the last place; numbers below 2^-126 become 0.
__device__ __forceinline__ float exp2Fast(float x);

// Starts to copy 16 bytes from global to shared memory, or to clear them when `copy` is false; nothing is read then.
// Both addresses are multiples of 16. Copies are grouped by cpAsyncCommit.
__device__ __forceinline__ void cpAsync16(void* shared, const void* global, bool copy);
__device__ __forceinline__ void cpAsyncCommit();
// Waits until all but this thread's `Pending` newest groups have landed; other threads see them after a barrier.
template <int Pending>
__device__ __forceinline__ void cpAsyncWait();

// Loads `Count` (1, 2, 4) 8x8 matrices of 16-bit elements from shared memory. Lane 8 m + i gives the address of row i
// of matrix m, a multiple of 16 (lanes beyond 8 Count are not read). Lane l receives of matrix m, in fragment[m], the
// elements (row l / 4, columns 2 (l % 4) and + 1); with `Transposed` (rows 2 (l % 4) and + 1, column l / 4).
template <int Count, bool Transposed>
__device__ __forceinline__ void loadMatrices(uint32_t (&fragment)[Count], const void* row);

// d (16, 8) += a (16, 16) b (16, 8) by the whole warp, T BFloat16 or Half. With g = lane / 4 and t = lane % 4:
//   a[0] = rows g, columns 2t, 2t + 1; a[1] = row g + 8; a[2], a[3] = the same with columns + 8;
//   b0 = rows 2t, 2t + 1, column g; b1 = rows + 8;
//   d[0], d[1] = row g, columns 2t, 2t + 1; d[2], d[3] = row g + 8.
template <typename T>
__device__ __forceinline__ void multiplyMatrices(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

#if defined(RELIC_EMULATE_CUDA)

inline float exp2Fast(float x) {
  const float y = std::exp2(x);
  return y < 0x1p-126f ? 0.0f : y;
}
inline void cpAsync16(void* shared, const void* global, bool copy) { emulation::copyAsync16(shared, global, copy); }
inline void cpAsyncCommit() { emulation::commitCopies(); }
template <int Pending>
inline void cpAsyncWait() {
  emulation::waitCopies(Pending);
}
template <int Count, bool Transposed>
inline void loadMatrices(uint32_t (&fragment)[Count], const void* row) {
  static_assert(Count == 1 || Count == 2 || Count == 4);
  emulation::loadMatrices(fragment, Count, Transposed, row);
}
template <>
inline void multiplyMatrices<BFloat16>(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  emulation::multiplyMatrices(d, a, b0, b1, false);
}
template <>
inline void multiplyMatrices<Half>(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  emulation::multiplyMatrices(d, a, b0, b1, true);
}

#else

__device__ __forceinline__ uint32_t sharedAddress(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

__device__ __forceinline__ float exp2Fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

__device__ __forceinline__ void cpAsync16(void* shared, const void* global, bool copy) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(sharedAddress(shared)), "l"(global),
               "r"(copy ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void cpAsyncCommit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int Pending>
__device__ __forceinline__ void cpAsyncWait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

template <int Count, bool Transposed>
__device__ __forceinline__ void loadMatrices(uint32_t (&fragment)[Count], const void* row) {
  static_assert(Count == 1 || Count == 2 || Count == 4);
  const uint32_t address = sharedAddress(row);
  if constexpr (Count == 1 && !Transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(fragment[0]) : "r"(address) : "memory");
  } else if constexpr (Count == 1) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
                 : "=r"(fragment[0])
                 : "r"(address)
                 : "memory");
  } else if constexpr (Count == 2 && !Transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(fragment[0]), "=r"(fragment[1])
                 : "r"(address)
                 : "memory");
  } else if constexpr (Count == 2) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(fragment[0]), "=r"(fragment[1])
                 : "r"(address)
                 : "memory");
  } else if constexpr (!Transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
                 : "r"(address)
                 : "memory");
  }
}

template <>
__device__ __forceinline__ void multiplyMatrices<BFloat16>(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                                           uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
               "{%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
__device__ __forceinline__ void multiplyMatrices<Half>(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                                       uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
               "{%0, %1, %2, %3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#endif

}  // namespace relic::cuda

#endif
