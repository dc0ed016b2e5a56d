// The embedding rows of all proteins, resident on the device.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/model.h"
#include "cuda/context.h"
#include "cuda/relic_cuda.h"
#include "cuda/tensor.h"
#include "relic/status.h"

namespace relic::cuda {

class ResidentStore : public ProteinLengths {
 public:
  // Bytes that the rows of `source` take in `format`.
  static size_t bytesFor(const RelicCudaStore& source, Format format);
  // Copies every row; the source is not used after.
  Status load(Context& context, const RelicCudaStore& source, Format format);

  int64_t count() const override { return static_cast<int64_t>(lengths_.size()); }
  int32_t length(int64_t index) const override { return lengths_[static_cast<size_t>(index)]; }
  int64_t dim() const { return dim_; }
  size_t bytes() const { return rows_.bytes(); }

  Format format() const { return format_; }
  // The first row of a protein, on the device.
  const void* rows(int64_t index) const;

 private:
  int64_t dim_ = 0;
  Format format_ = Format::float32;
  std::vector<int32_t> lengths_;
  std::vector<int64_t> offsets_;  // in elements
  Buffer rows_;
};

}  // namespace relic::cuda
