// One batch bound to the memory of a plan, and the ops of a run on it: the twin of native/cpu/runtime.h.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/layout.h"
#include "cpu/plan.h"
#include "cuda/absorbed.h"
#include "cuda/batch.h"
#include "cuda/context.h"
#include "cuda/gemm.h"
#include "cuda/optimizer_state.h"
#include "cuda/states.h"
#include "cuda/tensor.h"
#include "relic/program.h"
#include "relic/status.h"

namespace relic::cuda {

class Runtime {
 public:
  // `program` has the sizes of `formats` (formats.h); operands of matrix products over residues are held in `compute`.
  // `arena` is the memory of all tensors; runs of several runtimes may share it, one after another.
  Runtime(const Program& program, std::vector<Format> formats, Format compute, Context& context, Gemm& gemm,
          States& states, Buffer& arena);

  // Adds what the ops read of a shard to `batch`. sources: by sequence, the rows that gather reads. labels: (pairs) on the
  // host, or null.
  BatchLists addShard(const Layout& shard, const void* const* sources, const float* labels) {
    return batch.add(shard, usedSegments_, sources, labels);
  }
  // Lays the shard of `layout` out by `plan`, which must outlive the run. lists: what addShard gave; `batch` was sent.
  Status bind(const Plan& plan, const BatchLists& lists, Format sourceFormat);

  // Queues ops [from, to). Training: with dropout, batch statistics, and running statistics that move if `updateBuffers`.
  Status forward(const std::vector<Op>& ops, int32_t from, int32_t to, bool training, bool updateBuffers);
  // Queues the backward list of the bound plan. `addParameters`: to the gradients of the shards before. `exchange` (or
  // null) is told of every step of the list.
  Status backward(OptimizerState& optimizer, bool addParameters, RankExchange* exchange);
  // Copies the rows of the bound sources to a tensor.
  Status gatherInto(int32_t tensor);

  Tensor value(int32_t tensor) const { return values_[static_cast<size_t>(tensor)]; }
  Tensor gradient(int32_t tensor) const { return gradients_[static_cast<size_t>(tensor)]; }
  // Of a tensor in float32.
  float* floats(int32_t tensor) const { return static_cast<float*>(value(tensor).data); }
  int64_t rows(int32_t tensor) const { return layout.rows(program.tensors[static_cast<size_t>(tensor)].rows); }
  int64_t cols(int32_t tensor) const { return program.tensors[static_cast<size_t>(tensor)].cols; }
  int64_t size(int32_t tensor) const { return rows(tensor) * cols(tensor); }
  const float* parameter(const ParameterSlice& slice) const { return states.values(slice.state) + slice.offset(); }
  // The slice as an operand of a product in `format`.
  Tensor parameter(const ParameterSlice& slice, Format format) const;
  DeviceDropout dropout(const DropoutSite& site) const;
  // One dropout, and both of a chain.
  DropoutChain chain(const DropoutSite& site) const { return {{dropout(site), {}}}; }
  DropoutChain chain(const DropoutSite (&sites)[kMaxDropouts]) const { return {{dropout(sites[0]), dropout(sites[1])}}; }
  // How products over residues, attention among them, hold their operands.
  Format compute() const { return compute_; }
  // How the products of a linear layer do.
  Format computeFormat(const Op& op) const;
  AbsorbedOperands absorbed(const Op& op) const;
  // `tensor` (count) in `format`: itself, or a copy in scratch memory.
  Status operand(const Tensor& tensor, int64_t count, Format format, Scratch use, Tensor* out);

  size_t bytes() const { return batch.bytes(); }

  const Program& program;
  Context& context;
  Gemm& gemm;
  States& states;
  BatchMemory batch;
  // Set before a run.
  Layout layout;
  uint32_t key[2] = {0, 0};  // of dropout masks
  const StepOutcome* outcome = nullptr;

 private:
  Status forwardOp(const Op& op, bool training, bool updateBuffers);
  Status linear(const Op& op);
  Status concat(const Op& op);
  Status batchNorm(const Op& op, bool training, bool updateBuffers);
  Tensor placed(const Place& place, size_t tensor) const;

  const std::vector<Format> formats_;
  const Format compute_;
  Buffer& arena_;
  bool usedSegments_[4] = {};
  const Plan* plan_ = nullptr;
  Format sourceFormat_ = Format::float32;
  std::vector<size_t> offsets_;
  std::vector<Tensor> values_, gradients_;
};

}  // namespace relic::cuda
