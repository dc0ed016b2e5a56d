// The work lists of attention.
#include <algorithm>

#include "attention.h"

namespace relic::cuda {
namespace {

void append(std::vector<AttentionTile>& queryTiles, std::vector<AttentionTile>& keyTiles, const Segment& s) {
  for (int32_t from = s.queryFrom; from < s.queryTo; from += kAttentionTileRows) {
    queryTiles.push_back({from, std::min(from + kAttentionTileRows, s.queryTo), s.keyFrom, s.keyTo, s.keyFrom});
  }
  for (int32_t from = s.keyFrom; from < s.keyTo; from += kAttentionTileRows) {
    keyTiles.push_back({s.queryFrom, s.queryTo, from, std::min(from + kAttentionTileRows, s.keyTo), s.keyFrom});
  }
}

}  // namespace

AttentionWork attentionWork(const std::vector<Segment>& segments) {
  AttentionWork work;
  for (const Segment& segment : segments) append(work.queryTiles, work.keyTiles, segment);
  // A block's time is that of its loop, over keys or over queries.
  std::stable_sort(work.queryTiles.begin(), work.queryTiles.end(), [](const AttentionTile& a, const AttentionTile& b) {
    return a.keyTo - a.keyFrom > b.keyTo - b.keyFrom;
  });
  std::stable_sort(work.keyTiles.begin(), work.keyTiles.end(), [](const AttentionTile& a, const AttentionTile& b) {
    return a.queryTo - a.queryFrom > b.queryTo - b.queryFrom;
  });
  return work;
}

}  // namespace relic::cuda
