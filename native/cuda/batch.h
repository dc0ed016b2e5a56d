// What the kernels of a step read besides tensors: its settings, and by shard row offsets, addresses of rows, labels and
// attention's work lists; sent to the device in one copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cpu/layout.h"
#include "cuda/attention.h"
#include "cuda/context.h"
#include "cuda/events.h"
#include "cuda/ops.h"
#include "relic/program.h"
#include "relic/status.h"

namespace relic::cuda {

// Where the lists of one shard begin in the block, and their items.
struct BatchLists {
  struct Range {
    size_t at = 0;
    int64_t count = 0;
  };
  int64_t sequences = 0, longest = 0, longestPair = 0;
  size_t offsets = 0, sources = 0, labels = 0;
  Range queryTiles[4], keyTiles[4], pairs;
};

class BatchMemory {
 public:
  // Begins the block of a step.
  void begin(const StepInputs& inputs);
  // Adds the lists of a shard. `kinds[k]`: whether work lists for SegmentKind k are wanted. sources: by sequence of the
  // layout, the address of its rows on the device. labels: (layout.pairs) on the host, or null. Everything is copied.
  BatchLists add(const Layout& layout, const bool (&kinds)[4], const void* const* sources, const float* labels);
  // Queues the copy. The host may run some blocks ahead of the device.
  Status send(Context& context);
  // The shard that the lists below are of.
  void use(const BatchLists& lists) { lists_ = lists; }

  const StepInputs* inputs() const { return at<StepInputs>(0); }
  Sequences sequences() const { return {lists_.sequences, at<int32_t>(lists_.offsets), lists_.longest}; }
  const void* const* sources() const { return at<const void*>(lists_.sources); }
  // (pairs)
  const float* labels() const { return at<float>(lists_.labels); }
  DeviceList<AttentionTile> queryTiles(SegmentKind kind) const { return list<AttentionTile>(lists_.queryTiles, kind); }
  DeviceList<AttentionTile> keyTiles(SegmentKind kind) const { return list<AttentionTile>(lists_.keyTiles, kind); }
  DeviceList<Segment> pairSegments() const { return {at<Segment>(lists_.pairs.at), lists_.pairs.count}; }
  // Keys of the longest of them.
  int64_t longestPair() const { return lists_.longestPair; }

  size_t bytes() const { return device_.bytes(); }

 private:
  using Range = BatchLists::Range;
  struct Slot {
    PinnedBuffer memory;
    Event sent;
  };
  // Blocks that may be on their way.
  static constexpr size_t kSlots = 4;

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
  Slot slots_[kSlots];
  size_t next_ = 0;
  Buffer device_;
  BatchLists lists_;
};

}  // namespace relic::cuda
