// The runtime of cuda_emulation.h: memory, and the conversions of 16-bit numbers. Streams are in the file beside.
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <mutex>
#include <new>

#include "cuda_emulation.h"
#include "cuda_emulation_memory.h"

namespace relic::emulation {

// --- Guarded memory ------------------------------------------------------------------------------

namespace {
constexpr unsigned char kBefore = 0xa5;
size_t roundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }
}  // namespace

GuardedMemory::~GuardedMemory() { release(); }

void GuardedMemory::release() {
  if (pages_) munmap(pages_, mapped_);
  pages_ = nullptr;
}

bool GuardedMemory::resize(size_t bytes) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t used = roundUp(bytes, 16), mapped = roundUp(used, page) + 2 * page;
  if (!pages_ || mapped != mapped_) {
    release();
    void* pages = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) return false;
    pages_ = static_cast<unsigned char*>(pages);
    mapped_ = mapped;
    mprotect(pages_ + mapped - page, page, PROT_NONE);
  }
  used_ = used;
  begin_ = pages_ + mapped_ - page - used_;
  return true;
}

void GuardedMemory::poison() {
  std::memset(pages_, kBefore, static_cast<size_t>(begin_ - pages_));
  std::memset(begin_, 0xff, used_);
}

bool GuardedMemory::intact() const {
  return std::all_of(pages_, begin_, [](unsigned char byte) { return byte == kBefore; });
}

// --- 16-bit numbers ------------------------------------------------------------------------------

uint16_t bfloat16Bits(float x) {
  const uint32_t bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

float bfloat16Value(uint16_t bits) { return __uint_as_float(static_cast<uint32_t>(bits) << 16); }

uint16_t halfBits(float x) {
  const uint32_t bits = __float_as_uint(x), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  constexpr uint32_t kInfinity = 0x7f800000u, kOverflow = 0x477ff000u, kSmallestNormal = 0x38800000u;
  if (magnitude > kInfinity) return 0x7fff;
  if (magnitude >= kOverflow) return static_cast<uint16_t>(sign | 0x7c00u);
  // Subnormal halves are multiples of 2^-24.
  if (magnitude < kSmallestNormal) {
    return static_cast<uint16_t>(sign | static_cast<uint32_t>(std::nearbyint(std::fabs(x) * 0x1p24f)));
  }
  return static_cast<uint16_t>(sign | (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1)) >> 13);
}

float halfValue(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = bits >> 10 & 31u, mantissa = bits & 1023u;
  if (exponent == 0) return std::copysign(static_cast<float>(mantissa) * 0x1p-24f, __uint_as_float(sign));
  const uint32_t wide = exponent == 31 ? 255u : exponent + 112u;
  return __uint_as_float(sign | wide << 23 | mantissa << 13);
}

namespace {

constexpr size_t kMemory = size_t{1} << 30;

struct Allocation {
  size_t bytes;
  std::unique_ptr<GuardedMemory> memory;
};
std::mutex memoryMutex;
std::map<void*, Allocation> allocations;
size_t allocated = 0, limit = kMemory;

}  // namespace

void limitMemory(size_t bytes) { limit = bytes; }

}  // namespace relic::emulation

using relic::emulation::fault;
using relic::emulation::GuardedMemory;

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
  }
  return "unknown";
}
const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }
cudaError_t cudaGetLastError() { return fault(); }
cudaError_t cudaPeekAtLastError() { return fault(); }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidValue; }
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {"emulated GPU", relic::emulation::kMemory, 8, 0, 4, 99 * 1024};
  return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, const void*) { return cudaSuccess; }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const std::lock_guard<std::mutex> lock(relic::emulation::memoryMutex);
  *total = relic::emulation::limit;
  *free = *total - std::min(*total, relic::emulation::allocated);
  return fault();
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  using namespace relic::emulation;
  if (fault() != cudaSuccess) return fault();
  if (refusesWhileCapturing()) return cudaErrorStreamCaptureUnsupported;
  const std::lock_guard<std::mutex> lock(memoryMutex);
  auto allocation = std::make_unique<GuardedMemory>();
  if (allocated + bytes > limit || !allocation->resize(bytes)) return cudaErrorMemoryAllocation;
  allocation->poison();
  *memory = allocation->begin();
  allocated += bytes;
  allocations[*memory] = {bytes, std::move(allocation)};
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  using namespace relic::emulation;
  if (memory == nullptr) return fault();
  const std::lock_guard<std::mutex> lock(memoryMutex);
  const auto found = allocations.find(memory);
  if (found == allocations.end()) return cudaErrorInvalidValue;
  allocated -= found->second.bytes;
  allocations.erase(found);
  return fault();
}
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  *memory = ::operator new(bytes, std::nothrow);
  return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* memory) {
  ::operator delete(memory);
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  std::memmove(to, from, bytes);
  return fault();
}
cudaError_t cudaMemset(void* memory, int byte, size_t bytes) {
  std::memset(memory, byte, bytes);
  return fault();
}
