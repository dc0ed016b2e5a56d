// The embedding rows of all proteins: resident on the device where they fit, else sent with every batch.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cpu/model.h"
#include "cuda/context.h"
#include "cuda/relic_cuda.h"
#include "cuda/streamed_rows.h"
#include "cuda/tensor.h"
#include "relic/status.h"

namespace relic::cuda {

class EmbeddingRows : public ProteinLengths {
 public:
  // Bytes that the rows of `source` take in `format`.
  static size_t bytesFor(const RelicCudaStore& source, Format format);
  // Copies every row; the source is not used after.
  Status load(Context& context, const RelicCudaStore& source, Format format);
  // Reads rows from the source whenever they are bound.
  Status stream(const RelicCudaStore& source, Format format);

  int64_t count() const override { return static_cast<int64_t>(lengths_.size()); }
  int32_t length(int64_t index) const override { return lengths_[static_cast<size_t>(index)]; }
  int64_t dim() const { return dim_; }
  size_t bytes() const { return rows_.bytes() + (streamed_ == nullptr ? 0 : streamed_->bytes()); }
  Format format() const { return format_; }

  // By protein, the address of its first row on the device for work that is queued from now on until release.
  Status bind(Context& context, const std::vector<int32_t>& proteins, std::vector<const void*>* rows);
  Status release(Context& context);

 private:
  void describe(const RelicCudaStore& source, Format format);

  int64_t dim_ = 0;
  Format format_ = Format::float32;
  std::vector<int32_t> lengths_;
  // Resident rows.
  std::vector<int64_t> offsets_;  // in elements
  Buffer rows_;
  std::unique_ptr<StreamedRows> streamed_;
};

}  // namespace relic::cuda
