// How a part's scratch is divided.
#pragma once

#include <cstdint>

namespace relic {

inline int64_t roundUp(int64_t a, int64_t unit) { return (a + unit - 1) / unit * unit; }

// Where the pieces of a part's scratch begin, in floats; all on cache lines, with room behind for the kernels.
class Room {
 public:
  int64_t take(int64_t floats) {
    const int64_t at = size_;
    size_ += roundUp(floats, 16) + 16;
    return at;
  }
  int64_t size() const { return size_; }

 private:
  int64_t size_ = 0;
};

}  // namespace relic
