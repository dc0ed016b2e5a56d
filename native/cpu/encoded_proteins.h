// Scoring encodes each protein once: the output rows of the program's prefix are kept until the parameters change.
// Above a limit of kept bytes, the rows are simply forgotten.
#pragma once

#include <cstdint>
#include <vector>

#include "arena.h"
#include "layout.h"

namespace relic {

class EncodedProteins {
 public:
  // proteins: how many the store has.
  explicit EncodedProteins(int64_t proteins) : proteins_(proteins) {}

  // Proteins of the batch that are not kept, each once; forgets all first when too many bytes are kept.
  const std::vector<int32_t>& missing(const std::vector<int32_t>& batch);
  // Keeps rows (layout.tokens, cols) of the sequences of `layout`.
  void keep(const Layout& layout, const float* rows, int64_t cols);
  // (length of the protein, cols), or null.
  const float* rows(int32_t protein) const { return rows_.empty() ? nullptr : rows_[static_cast<size_t>(protein)]; }

  void clear();
  size_t bytes() const { return bytes_ + rows_.capacity() * sizeof(float*); }

 private:
  int64_t proteins_;
  std::vector<const float*> rows_;  // by protein
  std::vector<int32_t> missing_;
  std::vector<Arena> memory_;
  size_t bytes_ = 0;
};

}  // namespace relic
