#include "arena.h"

#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace relic {
namespace {

constexpr size_t kLine = 64;
// Matrices of this size and above are walked with large strides: huge pages save most of their address translations.
constexpr size_t kHugePage = size_t{2} << 20;
constexpr double kGrowth = 1.25;

}  // namespace

void Arena::Free::operator()(void* p) const { std::free(p); }

void Arena::fit(size_t floats) {
  if (floats <= capacity_) return;
  const auto grown = static_cast<size_t>(static_cast<double>(capacity_) * kGrowth);
  const size_t wanted = floats > grown ? floats : grown;
  // Released first: the old and the new one together may not fit.
  release();
  const size_t bytes = wanted * sizeof(float);
  const bool huge = bytes >= 2 * kHugePage;
  const size_t alignment = huge ? kHugePage : kLine;
  // calloc takes large memory as zeroed pages from the system, which cost nothing until they are touched.
  memory_.reset(std::calloc(1, bytes + alignment));
  if (memory_ == nullptr) throw std::bad_alloc();
  const auto address = reinterpret_cast<uintptr_t>(memory_.get());
  data_ = reinterpret_cast<float*>((address + alignment - 1) / alignment * alignment);
  capacity_ = wanted;
#if defined(__linux__)
  // A hint: where the system refuses, ordinary pages serve.
  if (huge) madvise(data_, bytes, MADV_HUGEPAGE);
#endif
}

void Arena::release() {
  memory_.reset();
  data_ = nullptr;
  capacity_ = 0;
}

}  // namespace relic
