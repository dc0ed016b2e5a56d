// What a batch's kernels read besides tensors: row offsets, addresses of rows, labels and attention's work lists, sent
// to the device in one copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cpu/layout.h"
#include "cuda/attention.h"
#include "cuda/context.h"
#include "cuda/ops.h"
#include "relic/program.h"
#include "relic/status.h"

namespace relic::cuda {

class BatchMemory {
 public:
  // `kinds[k]`: whether work lists for SegmentKind k are wanted. sources: by sequence of the layout, the address of its
  // rows on the device. labels: (layout.pairs) on the host, or null. Everything is copied.
  Status send(Context& context, const Layout& layout, const bool (&kinds)[4], const std::vector<const void*>& sources,
              const float* labels);

  Sequences sequences() const { return {count_, at<int32_t>(offsets_), longest_}; }
  const void* const* sources() const { return at<const void*>(sources_); }
  // (pairs)
  const float* labels() const { return at<float>(labels_); }
  DeviceList<AttentionTile> queryTiles(SegmentKind kind) const { return list<AttentionTile>(queryTiles_, kind); }
  DeviceList<AttentionTile> keyTiles(SegmentKind kind) const { return list<AttentionTile>(keyTiles_, kind); }
  DeviceList<Segment> pairSegments() const { return {at<Segment>(pairs_.at), pairs_.count}; }

  size_t bytes() const { return device_.bytes(); }

 private:
  // Where a list begins in the block, and its items.
  struct Range {
    size_t at = 0;
    int64_t count = 0;
  };

  template <typename T>
  size_t append(const T* items, size_t count) {
    const size_t at = (block_.size() + 15) / 16 * 16;
    block_.resize(at + count * sizeof(T));
    if (count > 0) std::memcpy(block_.data() + at, items, count * sizeof(T));
    return at;
  }
  template <typename T>
  Range append(const std::vector<T>& items) {
    return {append(items.data(), items.size()), static_cast<int64_t>(items.size())};
  }
  template <typename T>
  const T* at(size_t offset) const {
    return reinterpret_cast<const T*>(device_.as<char>() + offset);
  }
  template <typename T>
  DeviceList<T> list(const Range (&ranges)[4], SegmentKind kind) const {
    const Range& range = ranges[static_cast<int>(kind)];
    return {at<T>(range.at), range.count};
  }

  std::vector<unsigned char> block_;
  PinnedBuffer staged_;
  Buffer device_;
  // Whether a copy from staged_ may still be under way.
  bool sending_ = false;
  int64_t count_ = 0, longest_ = 0;
  size_t offsets_ = 0, sources_ = 0, labels_ = 0;
  Range queryTiles_[4], keyTiles_[4], pairs_;
};

}  // namespace relic::cuda
