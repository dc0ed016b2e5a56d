#include "cuda/store.h"

#include <algorithm>

#include "cuda/ops.h"

namespace relic::cuda {
namespace {

// Rows travel as float32 through a buffer of this size, or of the longest protein, and change their format on the device.
constexpr int64_t kStagedFloats = int64_t{8} << 20;

}  // namespace

size_t EmbeddingRows::bytesFor(const RelicCudaStore& source, Format format) {
  size_t rows = 0;
  for (int64_t i = 0; i < source.count; i++) rows += static_cast<size_t>(source.lengths[i]);
  return rows * static_cast<size_t>(source.dim) * bytesOf(format);
}

Status EmbeddingRows::load(Context& context, const RelicCudaStore& source, Format format) {
  describe(source, format);
  int64_t total = 0, longest = 0;
  for (const int32_t length : lengths_) {
    offsets_.push_back(total);
    total += length * dim_;
    longest = std::max<int64_t>(longest, length * dim_);
  }
  RELIC_TRY(rows_.fit(static_cast<size_t>(total) * bytesOf(format), "the embeddings of all proteins"));
  const int64_t room = std::max(longest, std::min(kStagedFloats, total));
  PinnedBuffer host;
  Buffer device;
  RELIC_TRY(host.fit(static_cast<size_t>(room) * sizeof(float)));
  RELIC_TRY(device.fit(static_cast<size_t>(room) * sizeof(float), "a copy of embeddings on their way"));
  int64_t sent = 0, staged = 0;
  const auto send = [&]() -> Status {
    if (staged == 0) return Status::success();
    RELIC_CUDA_TRY(cudaMemcpyAsync(device.as<void>(), host.as<void>(), static_cast<size_t>(staged) * sizeof(float),
                                   cudaMemcpyHostToDevice, context.stream()));
    const Tensor all{rows_.as<void>(), format_};
    RELIC_TRY(copyOrAdd(context, staged, {device.as<void>(), Format::float32}, all.from(sent), false));
    sent += staged;
    staged = 0;
    return context.synchronize();
  };
  for (int64_t i = 0; i < count(); i++) {
    const int64_t values = length(i) * dim_;
    if (staged + values > room) RELIC_TRY(send());
    if (values > 0) source.read(source.context, i, host.as<float>() + staged);
    staged += values;
  }
  return send();
}

Status EmbeddingRows::stream(const RelicCudaStore& source, Format format) {
  describe(source, format);
  streamed_ = std::make_unique<StreamedRows>(source, lengths_, format);
  return streamed_->open();
}

void EmbeddingRows::describe(const RelicCudaStore& source, Format format) {
  dim_ = source.dim;
  format_ = format;
  lengths_.assign(source.lengths, source.lengths + source.count);
}

Status EmbeddingRows::bind(Context& context, const std::vector<int32_t>& proteins, std::vector<const void*>* rows) {
  if (streamed_ != nullptr) return streamed_->send(context, proteins, rows);
  const Tensor all{rows_.as<void>(), format_};
  rows->clear();
  for (const int32_t protein : proteins) rows->push_back(all.from(offsets_[static_cast<size_t>(protein)]).data);
  return Status::success();
}

Status EmbeddingRows::release(Context& context) {
  return streamed_ == nullptr ? Status::success() : streamed_->release(context);
}

}  // namespace relic::cuda
