// Scoring encodes each protein once: the output rows of the program's prefix are kept until the parameters change.
#pragma once

#include <cstdint>
#include <vector>

#include "arena.h"
#include "layout.h"

namespace relic {

class EncodedProteins {
 public:
  // proteins: how many the store has. Rows beyond `limitBytes` are held for one batch alone, and computed anew for the next
  // one that needs them; what was kept first stays, so that pairs in any order find their share of it.
  EncodedProteins(int64_t proteins, size_t limitBytes) : proteins_(proteins), limitBytes_(limitBytes) {}

  // Proteins of the batch that are not kept, each once; forgets what the batch before could not keep.
  const std::vector<int32_t>& missing(const std::vector<int32_t>& batch);
  // Holds rows (layout.tokens, cols) of the sequences of `layout`, for as long as there is room.
  void keep(const Layout& layout, const float* rows, int64_t cols);
  // (length of the protein, cols), or null.
  const float* rows(int32_t protein) const { return rows_.empty() ? nullptr : rows_[static_cast<size_t>(protein)]; }

  void clear();
  size_t bytes() const { return keptBytes_ + passing_.bytes() + rows_.capacity() * sizeof(float*); }

 private:
  int64_t proteins_;
  size_t limitBytes_;
  std::vector<const float*> rows_;  // by protein
  std::vector<int32_t> missing_;
  std::vector<Arena> kept_;
  size_t keptBytes_ = 0;
  // Of one batch, and whose rows they are.
  Arena passing_;
  std::vector<int32_t> passingProteins_;
};

}  // namespace relic
