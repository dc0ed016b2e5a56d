// Scoring encodes each protein once: the twin of native/cpu/encoded_proteins.h on the device.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/layout.h"
#include "cuda/context.h"
#include "cuda/tensor.h"
#include "relic/status.h"

namespace relic::cuda {

class EncodedProteins {
 public:
  // limitBytes: above this, what is kept is forgotten before more is added. Rows are kept in `format`.
  EncodedProteins(int64_t proteins, size_t limitBytes, Format format)
      : rows_(static_cast<size_t>(proteins), nullptr), limitBytes_(limitBytes), format_(format) {}

  // Proteins of the batch that are not kept, each once; forgets all first when too many bytes are kept.
  std::vector<int32_t> missing(const std::vector<int32_t>& batch);
  // Keeps a copy of the rows (layout.tokens, cols) of the sequences of `layout`.
  Status keep(Context& context, const Layout& layout, const Tensor& rows, int64_t cols);
  Format format() const { return format_; }
  // (length of the protein, cols) on the device, or null.
  const void* rows(int32_t protein) const { return rows_[static_cast<size_t>(protein)]; }

  // No kernel may still read the rows.
  void clear();
  size_t bytes() const { return bytes_; }

 private:
  std::vector<const void*> rows_;  // by protein
  std::vector<Buffer> memory_;
  size_t limitBytes_;
  Format format_;
  size_t bytes_ = 0;
};

}  // namespace relic::cuda
