#include "cuda/step_graphs.h"

#include <algorithm>

#include "cuda/checked.h"

namespace relic::cuda {
namespace {

// Shapes in turn: a seed run has two, with and without its last batch.
constexpr size_t kMostEntries = 8;

}  // namespace

Status StepGraphs::run(Context& context, const std::vector<int64_t>& signature, const std::function<Status()>& queue) {
  if (!works_) return queue();
  const auto found =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& each) { return each.signature == signature; });
  if (found == entries_.end()) {
    if (entries_.size() == kMostEntries) {
      if (entries_.front().graph != nullptr) cudaGraphExecDestroy(entries_.front().graph);
      entries_.erase(entries_.begin());
    }
    entries_.push_back({signature, nullptr});
    return queue();
  }
  std::rotate(found, found + 1, entries_.end());
  Entry& entry = entries_.back();
  if (entry.graph == nullptr) entry.graph = record(context, queue);
  if (entry.graph == nullptr) {
    works_ = false;
    return queue();
  }
  RELIC_CUDA_TRY(cudaGraphLaunch(entry.graph, context.stream()));
  replays_++;
  return Status::success();
}

cudaGraphExec_t StepGraphs::record(Context& context, const std::function<Status()>& queue) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t instance = nullptr;
  // Calls of other threads stay as they are.
  if (cudaStreamBeginCapture(context.stream(), cudaStreamCaptureModeThreadLocal) != cudaSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  const bool queued = queue().ok();
  if (cudaStreamEndCapture(context.stream(), &graph) == cudaSuccess && queued &&
      cudaGraphInstantiate(&instance, graph, 0) != cudaSuccess) {
    instance = nullptr;
  }
  if (graph != nullptr) cudaGraphDestroy(graph);
  // What failed here is tried again without a record, and told then.
  if (instance == nullptr) cudaGetLastError();
  return instance;
}

void StepGraphs::clear() {
  for (const Entry& each : entries_) {
    if (each.graph != nullptr) cudaGraphExecDestroy(each.graph);
  }
  entries_.clear();
}

}  // namespace relic::cuda
