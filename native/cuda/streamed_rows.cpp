#include "cuda/streamed_rows.h"

#include <algorithm>
#include <thread>

#include "cuda/rounding.h"

namespace relic::cuda {
namespace {

// More threads read no faster than memory does.
constexpr int kMostThreads = 8;
constexpr double kNanosecondsPerValue = 1;
constexpr int64_t kAlignment = 8;  // elements, of two bytes or more

int threadsToPack() {
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMostThreads);
}

int64_t aligned(int64_t elements) { return (elements + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

void RowPacking::plan(const std::vector<int32_t>& wanted, const std::vector<int32_t>& lengths, int64_t dim) {
  proteins = wanted;
  std::sort(proteins.begin(), proteins.end());
  proteins.erase(std::unique(proteins.begin(), proteins.end()), proteins.end());
  offsets.clear();
  elements = 0;
  for (const int32_t protein : proteins) {
    offsets.push_back(elements);
    elements += aligned(lengths[static_cast<size_t>(protein)] * dim);
  }
}

int64_t RowPacking::offsetOf(int32_t protein) const {
  const auto found = std::lower_bound(proteins.begin(), proteins.end(), protein);
  return offsets[static_cast<size_t>(found - proteins.begin())];
}

StreamedRows::StreamedRows(const RelicCudaStore& source, const std::vector<int32_t>& lengths, Format format)
    : source_(source), lengths_(lengths), format_(format), pool_(threadsToPack()) {}

StreamedRows::~StreamedRows() {
  if (stream_ == nullptr) return;
  // Copies must have ended before their memory is freed; what went wrong was told by the call that waited for them.
  cudaStreamSynchronize(stream_);
  cudaStreamDestroy(stream_);
}

Status StreamedRows::open() {
  RELIC_CUDA_TRY(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  return Status::success();
}

Status StreamedRows::send(Context& context, const std::vector<int32_t>& proteins, std::vector<const void*>* rows) {
  packing_.plan(proteins, lengths_, source_.dim);
  current_ ^= 1;
  Slot& slot = slots_[current_];
  const size_t bytes = static_cast<size_t>(packing_.elements) * bytesOf(format_);
  RELIC_TRY(slot.copied.synchronize());
  RELIC_TRY(slot.host.fit(bytes));
  if (bytes > slot.device.bytes()) {
    RELIC_TRY(slot.used.synchronize());
    RELIC_TRY(slot.device.fit(bytes, "the embeddings of a batch"));
  }
  pack(slot.host.as<void>());
  RELIC_TRY(slot.used.holdBack(stream_));
  RELIC_CUDA_TRY(cudaMemcpyAsync(slot.device.as<void>(), slot.host.as<void>(), bytes, cudaMemcpyHostToDevice, stream_));
  RELIC_TRY(slot.copied.record(stream_));
  RELIC_TRY(slot.copied.holdBack(context.stream()));
  const Tensor all{slot.device.as<void>(), format_};
  rows->clear();
  for (const int32_t protein : proteins) rows->push_back(all.from(packing_.offsetOf(protein)).data);
  return Status::success();
}

Status StreamedRows::release(Context& context) { return slots_[current_].used.record(context.stream()); }

void StreamedRows::pack(void* out) {
  const auto count = static_cast<int64_t>(packing_.proteins.size());
  int64_t longest = 0;
  for (const int32_t protein : packing_.proteins) {
    longest = std::max<int64_t>(longest, lengths_[static_cast<size_t>(protein)] * source_.dim);
  }
  const double nanoseconds = kNanosecondsPerValue * static_cast<double>(packing_.elements);
  pool_.reserve(pool_.partsFor(nanoseconds), format_ == Format::float32 ? 0 : static_cast<size_t>(longest));
  pool_.parallelRanges(count, 1, nanoseconds, [&](int64_t from, int64_t to, int64_t part) {
    for (int64_t i = from; i < to; i++) {
      const int32_t protein = packing_.proteins[static_cast<size_t>(i)];
      const int64_t values = lengths_[static_cast<size_t>(protein)] * source_.dim;
      const int64_t at = packing_.offsets[static_cast<size_t>(i)];
      if (values == 0) continue;
      if (format_ == Format::float32) {
        source_.read(source_.context, protein, static_cast<float*>(out) + at);
        continue;
      }
      float* wide = pool_.scratch(part);
      source_.read(source_.context, protein, wide);
      auto* narrow = static_cast<uint16_t*>(out) + at;
      if (format_ == Format::bfloat16) {
        for (int64_t k = 0; k < values; k++) narrow[k] = bfloat16Of(wide[k]);
      } else {
        for (int64_t k = 0; k < values; k++) narrow[k] = halfOf(wide[k]);
      }
    }
  });
}

}  // namespace relic::cuda
