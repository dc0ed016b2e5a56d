// Embedding rows that do not fit the device: those of a batch are packed in page-locked memory and copied on a stream of
// their own while the step before runs.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/pool.h"
#include "cuda/context.h"
#include "cuda/events.h"
#include "cuda/relic_cuda.h"
#include "cuda/tensor.h"
#include "relic/status.h"

namespace relic::cuda {

// Where the rows of a batch's proteins lie in one block, each protein once.
struct RowPacking {
  std::vector<int32_t> proteins;  // ascending
  std::vector<int64_t> offsets;   // in elements, of each of them
  int64_t elements = 0;

  // lengths: of every protein, in rows of `dim` elements. Every protein starts at a multiple of 16 bytes, whatever the
  // size of an element.
  void plan(const std::vector<int32_t>& wanted, const std::vector<int32_t>& lengths, int64_t dim);
  // Of a protein that is there.
  int64_t offsetOf(int32_t protein) const;
};

class StreamedRows {
 public:
  // `source` is read in every send, from several threads at once; `lengths` outlives this.
  StreamedRows(const RelicCudaStore& source, const std::vector<int32_t>& lengths, Format format);
  ~StreamedRows();
  StreamedRows(const StreamedRows&) = delete;
  StreamedRows& operator=(const StreamedRows&) = delete;

  // On the current device.
  Status open();
  // Sends the rows of `proteins` and tells where each begins on the device. The context's later work finds them there,
  // until release and two more sends.
  Status send(Context& context, const std::vector<int32_t>& proteins, std::vector<const void*>* rows);
  // To be called when all work that reads what was sent last is queued.
  Status release(Context& context);

  size_t bytes() const { return slots_[0].device.bytes() + slots_[1].device.bytes(); }

 private:
  // While the device reads from one, the host fills the other.
  struct Slot {
    PinnedBuffer host;
    Buffer device;
    Event copied, used;
  };

  void pack(void* out);

  const RelicCudaStore source_;
  const std::vector<int32_t>& lengths_;
  const Format format_;
  Pool pool_;
  cudaStream_t stream_ = nullptr;
  Slot slots_[2];
  int current_ = 0;
  RowPacking packing_;
};

}  // namespace relic::cuda
