// CUDA on the CPU, for tests: as much of the language, the runtime and the instructions of native/cuda/device.h as our
// kernels use. Blocks run one after another, the threads of a block as fibers of one operating system thread.
//
// It is stricter than a GPU. It ends the program with the place and the thread when
// - threads of a block wait at different barriers, or some have ended (also within a warp, at its collectives);
// - memory beyond the dynamic shared memory or beyond an allocation is touched (page protection; before it: a pattern);
// - an address of a 16-byte copy or of ldmatrix is not a multiple of 16;
// - a launch asks for more than every supported card has.
// Streams work as late as they may, or at once: what lacks an event between two streams differs. Shared and device
// memory starts as NaN. In blocks of odd index the threads run in reverse order and asynchronous
// copies land at once, else as late as they may: results that depend on either are races and differ.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <source_location>
#include <tuple>
#include <type_traits>

// --- Language ------------------------------------------------------------------------------------

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __constant__ static
// One copy for all blocks, which run one at a time.
#define __shared__ static
#define __align__(bytes) alignas(bytes)
#define __grid_constant__

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
// Kernels copy through vector types whatever lies there, as CUDA allows.
#define RELIC_ALIASES [[gnu::may_alias]]
struct alignas(8) RELIC_ALIASES int2 {
  int x, y;
};
struct alignas(16) RELIC_ALIASES int4 {
  int x, y, z, w;
};
struct alignas(8) RELIC_ALIASES uint2 {
  unsigned x, y;
};
struct alignas(16) RELIC_ALIASES uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) RELIC_ALIASES float2 {
  float x, y;
};
struct alignas(16) RELIC_ALIASES float4 {
  float x, y, z, w;
};
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

// Of the running fiber.
extern thread_local uint3 threadIdx, blockIdx;
extern thread_local dim3 blockDim, gridDim;
constexpr int warpSize = 32;

// --- Runtime -------------------------------------------------------------------------------------

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
};
enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault
};
using cudaStream_t = struct EmulatedStream*;
using cudaEvent_t = struct EmulatedEvent*;
using cudaGraph_t = struct EmulatedGraph*;
using cudaGraphExec_t = struct EmulatedGraph*;
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal };
struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem;
  int major, minor, multiProcessorCount;
  size_t sharedMemPerBlockOptin;
};
struct cudaFuncAttributes {};
constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2, cudaHostAllocDefault = 0;

const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
// Filled with NaN; ends where its page does.
cudaError_t cudaMalloc(void** memory, size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream = nullptr);
cudaError_t cudaMemset(void* memory, int byte, size_t bytes);
cudaError_t cudaMemsetAsync(void* memory, int byte, size_t bytes, cudaStream_t stream = nullptr);
// The null stream does everything at once. Of the others every second or so does, too; the rest wait until someone waits
// for them.
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventDestroy(cudaEvent_t event);
// A graph is what a stream was given between the two calls.
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* instance, cudaGraph_t graph, unsigned long long flags = 0);
cudaError_t cudaGraphLaunch(cudaGraphExec_t instance, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t instance);
template <typename T>
cudaError_t cudaMalloc(T** memory, size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(memory), bytes);
}

// --- What the emulator offers to this header and to device.h ---------------------------------------

namespace relic::emulation {

using Place = std::source_location;

// Rounded to nearest, ties to even; NaN is 0x7fff, as the GPU's conversions give.
uint16_t bfloat16Bits(float x);
float bfloat16Value(uint16_t bits);
uint16_t halfBits(float x);
float halfValue(uint16_t bits);

// Ends the program; says which thread of which block of which launch.
[[noreturn]] void fail(const char* what);
void* dynamicShared();
void syncBlock(const Place& place);

// All lanes of the warp meet. Each gives `bytes` (at most kLaneBytes) of input; the last one to come calls
// complete(lanes, count), which may turn inputs into results in place; then all read what they need of lanes.
constexpr size_t kLaneBytes = 64;
struct alignas(16) Lane {
  unsigned char data[kLaneBytes];
};
const Lane* meetInWarp(unsigned mask, const void* input, size_t bytes, void (*complete)(Lane* lanes, int count),
                       const Place& place);
int laneIndex();
int laneCount();

void copyAsync16(void* shared, const void* global, bool copy, const Place& place = Place::current());
void commitCopies();
void waitCopies(int pending);
void loadMatrices(uint32_t* fragment, int count, bool transposed, const void* row,
                  const Place& place = Place::current());
void multiplyMatrices(float* d, const uint32_t* a, uint32_t b0, uint32_t b1, bool half,
                      const Place& place = Place::current());

// A stream, and where the launch into it was written.
struct StreamHere {
  cudaStream_t stream;
  Place place;
  StreamHere(cudaStream_t s, const Place& p = Place::current()) : stream(s), place(p) {}
};

// Whether a launch of this shape may be.
cudaError_t checkGrid(dim3 grid, dim3 block, size_t sharedBytes);
void runGrid(dim3 grid, dim3 block, size_t sharedBytes, const Place& place, void (*thread)(void*), void* data);
// Does the work when the stream comes to it.
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work);

// --- For tests -----------------------------------------------------------------------------------

// Bytes that the device has; 1 GiB at first.
void limitMemory(size_t bytes);
// The device breaks after `launches` more launches: from then on every call fails with `error`, until cudaSuccess is
// injected.
void injectFault(cudaError_t error, int64_t launches = 0);
// Launches of kernels by the host so far, those of graphs counting as one.
int64_t launches();

template <typename... Parameters, typename... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t sharedBytes, StreamHere stream,
                   Arguments&&... arguments) {
  if (const cudaError_t error = checkGrid(grid, block, sharedBytes); error != cudaSuccess) return error;
  std::tuple<Parameters...> own(static_cast<Parameters>(arguments)...);
  return enqueue(stream.stream, [=, place = stream.place] {
    auto thread = [&] { std::apply(kernel, own); };
    runGrid(
        grid, block, sharedBytes, place, [](void* data) { (*static_cast<decltype(thread)*>(data))(); }, &thread);
  });
}

template <typename T, typename Source>
T shuffle(unsigned mask, T value, int width, const Place& place, Source&& source) {
  static_assert(sizeof(T) <= kLaneBytes);
  const Lane* lanes = meetInWarp(mask, &value, sizeof(T), nullptr, place);
  const int lane = laneIndex(), first = lane / width * width, from = source(lane - first);
  // A lane outside the group: the value stays.
  if (from >= 0 && from < width) std::memcpy(&value, lanes[first + from].data, sizeof(T));
  return value;
}

}  // namespace relic::emulation

// --- Barriers, shuffles, votes -------------------------------------------------------------------

inline void __syncthreads(const std::source_location& place = std::source_location::current()) {
  relic::emulation::syncBlock(place);
}
inline void __syncwarp(unsigned mask = 0xffffffffu,
                       const std::source_location& place = std::source_location::current()) {
  relic::emulation::meetInWarp(mask, nullptr, 0, nullptr, place);
}
template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              const std::source_location& place = std::source_location::current()) {
  return relic::emulation::shuffle(mask, value, width, place, [&](int) { return source & (width - 1); });
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32,
                  const std::source_location& place = std::source_location::current()) {
  return relic::emulation::shuffle(mask, value, width, place, [&](int lane) { return lane ^ lanes; });
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 const std::source_location& place = std::source_location::current()) {
  return relic::emulation::shuffle(mask, value, width, place, [&](int lane) { return lane - static_cast<int>(delta); });
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   const std::source_location& place = std::source_location::current()) {
  return relic::emulation::shuffle(mask, value, width, place, [&](int lane) { return lane + static_cast<int>(delta); });
}
inline unsigned __ballot_sync(unsigned mask, int predicate,
                              const std::source_location& place = std::source_location::current()) {
  const unsigned char bit = predicate != 0;
  const auto vote = [](relic::emulation::Lane* lanes, int count) {
    unsigned bits = 0;
    for (int i = 0; i < count; i++) bits |= static_cast<unsigned>(lanes[i].data[0]) << i;
    std::memcpy(lanes[0].data, &bits, sizeof(bits));
  };
  unsigned bits;
  std::memcpy(&bits, relic::emulation::meetInWarp(mask, &bit, 1, vote, place)[0].data, sizeof(bits));
  return bits;
}
inline int __any_sync(unsigned mask, int predicate,
                      const std::source_location& place = std::source_location::current()) {
  return __ballot_sync(mask, predicate, place) != 0;
}
inline int __all_sync(unsigned mask, int predicate,
                      const std::source_location& place = std::source_location::current()) {
  return __ballot_sync(mask, predicate == 0, place) == 0;
}

// --- Arithmetic ----------------------------------------------------------------------------------

using std::max;
using std::min;
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __float_as(unsigned bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}
inline float __uint_as_float(unsigned bits) { return __float_as(bits); }
inline float __int_as_float(int bits) { return __float_as(static_cast<unsigned>(bits)); }
inline unsigned __float_as_uint(float x) {
  unsigned bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}
inline int __float_as_int(float x) { return static_cast<int>(__float_as_uint(x)); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
template <typename T>
T __ldg(const T* address) {
  return *address;
}
inline void __threadfence() {}

// Integers only: the order of atomic float sums is not fixed, so our kernels have none.
template <typename T>
T atomicAdd(T* address, T value) {
  static_assert(std::is_integral_v<T>);
  const T old = *address;
  *address = static_cast<T>(old + value);
  return old;
}
template <typename T>
T atomicMax(T* address, T value) {
  static_assert(std::is_integral_v<T>);
  const T old = *address;
  *address = std::max(old, value);
  return old;
}
template <typename T>
T atomicOr(T* address, T value) {
  static_assert(std::is_integral_v<T>);
  const T old = *address;
  *address = old | value;
  return old;
}

// --- 16-bit numbers ------------------------------------------------------------------------------

struct RELIC_ALIASES __nv_bfloat16 {
  uint16_t bits;
  __nv_bfloat16() = default;
  __nv_bfloat16(float x) : bits(relic::emulation::bfloat16Bits(x)) {}
  operator float() const { return relic::emulation::bfloat16Value(bits); }
};
struct RELIC_ALIASES __half {
  uint16_t bits;
  __half() = default;
  __half(float x) : bits(relic::emulation::halfBits(x)) {}
  operator float() const { return relic::emulation::halfValue(bits); }
};
struct alignas(4) RELIC_ALIASES __nv_bfloat162 {
  __nv_bfloat16 x, y;
};
struct alignas(4) RELIC_ALIASES __half2 {
  __half x, y;
};
inline __nv_bfloat16 __float2bfloat16_rn(float x) { return x; }
inline __nv_bfloat16 __float2bfloat16(float x) { return x; }
inline float __bfloat162float(__nv_bfloat16 x) { return x; }
inline __half __float2half_rn(float x) { return x; }
inline __half __float2half(float x) { return x; }
inline float __half2float(__half x) { return x; }
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {x, y}; }
inline __half2 __floats2half2_rn(float x, float y) { return {x, y}; }
inline float2 __bfloat1622float2(__nv_bfloat162 v) { return {v.x, v.y}; }
inline float2 __half22float2(__half2 v) { return {v.x, v.y}; }
