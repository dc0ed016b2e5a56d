// Float buffers of a model: aligned for vector loads, and grown so that ragged batches settle after a few steps.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

namespace relic {

class Arena {
 public:
  Arena() = default;
  explicit Arena(size_t floats) { fit(floats); }
  Arena(Arena&& other) noexcept { *this = std::move(other); }
  Arena& operator=(Arena&& other) noexcept {
    memory_ = std::move(other.memory_);
    data_ = std::exchange(other.data_, nullptr);
    capacity_ = std::exchange(other.capacity_, 0);
    return *this;
  }

  // At least `floats` floats, 64-byte aligned. Where it has to grow, the contents become zeros. Throws std::bad_alloc.
  void fit(size_t floats);
  void release();

  float* data() const { return data_; }
  size_t capacity() const { return capacity_; }
  size_t bytes() const { return capacity_ * sizeof(float); }

 private:
  struct Free {
    void operator()(void* p) const;
  };

  std::unique_ptr<void, Free> memory_;
  float* data_ = nullptr;
  size_t capacity_ = 0;
};

// `floats` rounded up to whole cache lines, the unit in which places in an arena are given out.
constexpr size_t wholeLines(size_t floats) { return (floats + 15) / 16 * 16; }

}  // namespace relic
