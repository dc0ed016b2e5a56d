#include "cuda/batch.h"

#include <algorithm>

namespace relic::cuda {

Status BatchMemory::send(Context& context, const Layout& layout, const bool (&kinds)[4],
                         const std::vector<const void*>& sources, const float* labels) {
  block_.clear();
  count_ = layout.sequences();
  longest_ = 0;
  for (size_t i = 0; i < layout.proteins.size(); i++) {
    longest_ = std::max<int64_t>(longest_, layout.offsets[i + 1] - layout.offsets[i]);
  }
  offsets_ = append(layout.offsets.data(), layout.offsets.size());
  sources_ = append(sources.data(), sources.size());
  labels_ = append(labels, labels == nullptr ? 0 : static_cast<size_t>(layout.pairs));
  for (const SegmentKind kind : {SegmentKind::self, SegmentKind::aToB, SegmentKind::bToA}) {
    const int k = static_cast<int>(kind);
    const AttentionWork work = kinds[k] ? attentionWork(layout.segments[k]) : AttentionWork{};
    queryTiles_[k] = append(work.queryTiles);
    keyTiles_[k] = append(work.keyTiles);
  }
  constexpr int kPairs = static_cast<int>(SegmentKind::pairToBoth);
  pairs_ = kinds[kPairs] ? append(layout.segments[kPairs]) : Range{};

  // The block of the shard before may still be on its way, or in use.
  if (sending_) RELIC_TRY(context.synchronize());
  RELIC_TRY(staged_.fit(block_.size()));
  RELIC_TRY(device_.fit(block_.size(), "the lists of a batch"));
  std::memcpy(staged_.as<void>(), block_.data(), block_.size());
  RELIC_CUDA_TRY(cudaMemcpyAsync(device_.as<void>(), staged_.as<void>(), block_.size(), cudaMemcpyHostToDevice,
                                 context.stream()));
  sending_ = true;
  return Status::success();
}

}  // namespace relic::cuda
