#include "cuda/batch.h"

#include <algorithm>

namespace relic::cuda {

void BatchMemory::begin(const StepInputs& inputs) {
  block_.clear();
  append(&inputs, 1);
}

BatchLists BatchMemory::add(const Layout& layout, const bool (&kinds)[4], const void* const* sources,
                            const float* labels) {
  BatchLists lists;
  lists.sequences = layout.sequences();
  for (size_t i = 0; i < layout.proteins.size(); i++) {
    lists.longest = std::max<int64_t>(lists.longest, layout.offsets[i + 1] - layout.offsets[i]);
  }
  lists.offsets = append(layout.offsets.data(), layout.offsets.size());
  lists.sources = append(sources, layout.proteins.size());
  lists.labels = append(labels, labels == nullptr ? 0 : static_cast<size_t>(layout.pairs));
  for (const SegmentKind kind : {SegmentKind::self, SegmentKind::aToB, SegmentKind::bToA}) {
    const int k = static_cast<int>(kind);
    const AttentionWork work = kinds[k] ? attentionWork(layout.segments[k]) : AttentionWork{};
    lists.queryTiles[k] = append(work.queryTiles);
    lists.keyTiles[k] = append(work.keyTiles);
  }
  const std::vector<Segment>& pairs = layout.segments[static_cast<int>(SegmentKind::pairToBoth)];
  for (const Segment& s : pairs) {
    lists.longestPair = std::max<int64_t>(lists.longestPair, s.keyTo - s.keyFrom + s.key2To - s.key2From);
  }
  if (kinds[static_cast<int>(SegmentKind::pairToBoth)]) lists.pairs = append(pairs);
  return lists;
}

Status BatchMemory::send(Context& context) {
  Slot& slot = slots_[next_++ % kSlots];
  RELIC_TRY(slot.sent.synchronize());
  RELIC_TRY(slot.memory.fit(block_.size()));
  if (block_.size() > device_.bytes()) {
    RELIC_TRY(context.synchronize());
    RELIC_TRY(device_.fit(block_.size(), "the lists of a batch"));
  }
  std::memcpy(slot.memory.as<void>(), block_.data(), block_.size());
  RELIC_CUDA_TRY(cudaMemcpyAsync(device_.as<void>(), slot.memory.as<void>(), block_.size(), cudaMemcpyHostToDevice,
                                 context.stream()));
  return slot.sent.record(context.stream());
}

}  // namespace relic::cuda
