// Steps that look alike are recorded once as a CUDA graph and then launched as a whole: a step of small batches waits
// for the launches of its kernels, not for their work.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "cuda/context.h"
#include "cuda/device.h"
#include "relic/status.h"

namespace relic::cuda {

class StepGraphs {
 public:
  StepGraphs() = default;
  ~StepGraphs() { clear(); }
  StepGraphs(const StepGraphs&) = delete;
  StepGraphs& operator=(const StepGraphs&) = delete;

  // Does what queue() does to the context's stream. Two steps of equal `signature` must queue the same kernels with the
  // same arguments: all that differs between them lies in device memory. The first of a signature calls queue, the second
  // records it, and the next ones launch the record. Where recording fails, every step calls queue.
  Status run(Context& context, const std::vector<int64_t>& signature, const std::function<Status()>& queue);
  // Forgets all records.
  void clear();

  // Steps launched as a whole.
  int64_t replays() const { return replays_; }

 private:
  struct Entry {
    std::vector<int64_t> signature;
    cudaGraphExec_t graph;  // null until recorded
  };

  // Null where the work cannot be recorded; the stream is then as before.
  static cudaGraphExec_t record(Context& context, const std::function<Status()>& queue);

  std::vector<Entry> entries_;  // the one used last comes last
  bool works_ = true;
  int64_t replays_ = 0;
};

}  // namespace relic::cuda
