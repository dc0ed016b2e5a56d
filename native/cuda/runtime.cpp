// Binding a batch, and the forward ops.
#include "cuda/runtime.h"

#include <utility>

#include "cuda/attention_op.h"
#include "cuda/ops.h"

namespace relic::cuda {

Runtime::Runtime(const Program& program_, std::vector<Format> formats, Format compute, Context& context_, Gemm& gemm_,
                 States& states_, Buffer& arena)
    : program(program_),
      context(context_),
      gemm(gemm_),
      states(states_),
      formats_(std::move(formats)),
      compute_(compute),
      arena_(arena) {
  for (const auto* ops : {&program.training, &program.scoring}) {
    for (const Op& op : *ops) {
      const bool attends = op.kind == OpKind::attention || op.kind == OpKind::absorbedAttention;
      if (attends) usedSegments_[static_cast<int>(op.attention.segments)] = true;
    }
  }
}

Status Runtime::bind(const Plan& plan, const BatchLists& lists, Format sourceFormat) {
  plan_ = &plan;
  sourceFormat_ = sourceFormat;
  batch.use(lists);
  const size_t bytes = plan.place(layout, &offsets_) * sizeof(float);
  if (bytes > arena_.bytes()) {
    RELIC_TRY(context.synchronize());
    RELIC_TRY(arena_.fit(bytes, "the activations of a batch"));
  }
  values_.resize(program.tensors.size());
  gradients_.resize(program.tensors.size());
  for (size_t i = 0; i < program.tensors.size(); i++) {
    values_[i] = placed(plan.values[i], i);
    gradients_[i] = placed(plan.gradients[i], i);
  }
  return Status::success();
}

Tensor Runtime::placed(const Place& place, size_t tensor) const {
  if (place.storage < 0) return {};
  const auto buffer = static_cast<size_t>(plan_->storages[static_cast<size_t>(place.storage)].buffer);
  const Tensor whole{arena_.as<float>() + offsets_[buffer], formats_[tensor]};
  return whole.from(place.part == Part::b ? layout.tokensA * program.tensors[tensor].cols : 0);
}

Tensor Runtime::parameter(const ParameterSlice& slice, Format format) const {
  const size_t at = states.offset(slice.state) + static_cast<size_t>(slice.offset());
  return format == Format::float32 ? Tensor{states.all() + at, format} : states.copy(at);
}

DeviceDropout Runtime::dropout(const DropoutSite& site) const {
  return {{key[0], key[1]}, site.site, &batch.inputs()->step, site.threshold, site.scale};
}

Format Runtime::computeFormat(const Op& op) const {
  const int32_t rowsOf = program.tensors[static_cast<size_t>(op.outputs[0])].rows;
  return rowsOf == kTokens || rowsOf == kTokensA || rowsOf == kTokensB ? compute_ : Format::float32;
}

AbsorbedOperands Runtime::absorbed(const Op& op) const {
  return {op.attention.heads,
          op.attention.width,
          cols(op.inputs[1]),
          batch.pairSegments(),
          batch.longestPair(),
          floats(op.inputs[0]),
          value(op.inputs[1]),
          parameter(op.parameters[0]),
          parameter(op.parameters[2]),
          parameter(op.parameters[3]),
          dropout(op.dropout)};
}

Status Runtime::operand(const Tensor& tensor, int64_t count, Format format, Scratch use, Tensor* out) {
  *out = tensor;
  if (tensor.format == format) return Status::success();
  out->format = format;
  RELIC_TRY(context.scratch(use, static_cast<size_t>(count) * bytesOf(format), &out->data));
  return copyOrAdd(context, count, tensor, *out, false);
}

Status Runtime::forward(const std::vector<Op>& ops, int32_t from, int32_t to, bool training, bool updateBuffers) {
  for (int32_t i = from; i < to; i++) RELIC_TRY(forwardOp(ops[static_cast<size_t>(i)], training, updateBuffers));
  return Status::success();
}

Status Runtime::gatherInto(int32_t tensor) {
  return gather(context, batch.sequences(), cols(tensor), batch.sources(), sourceFormat_, value(tensor));
}

Status Runtime::forwardOp(const Op& op, bool training, bool updateBuffers) {
  const auto in = [&](int i) { return value(op.inputs[i]); };
  const Tensor out = value(op.outputs[0]);
  const auto weight = [&](int i) { return parameter(op.parameters[i]); };
  const int64_t outRows = rows(op.outputs[0]), outCols = cols(op.outputs[0]);
  switch (op.kind) {
    case OpKind::gather:
      return gatherInto(op.outputs[0]);
    case OpKind::linear:
      return linear(op);
    case OpKind::layerNorm:
      return layerNormForward(context, outRows, outCols, op.eps, in(0), weight(0), weight(1), out,
                              floats(op.outputs[1]));
    case OpKind::batchNorm:
      return batchNorm(op, training, updateBuffers);
    case OpKind::activation:
      return activationForward(context, static_cast<Activation>(op.activation), outRows * outCols, in(0), out);
    case OpKind::dropout:
      return dropoutApply(context, chain(op.dropout), outRows, outCols, in(0), out, false);
    case OpKind::add:
      return add(context, outRows * outCols, in(0), in(1), out);
    case OpKind::stochasticDepth:
      return stochasticDepthForward(context, dropout(op.dropout), batch.sequences(), outCols, in(0), in(1), out);
    case OpKind::attention:
      return attentionForward(*this, op);
    case OpKind::activationDropout:
      return activationDropoutForward(context, static_cast<Activation>(op.activation), chain(op.dropout), outRows,
                                      outCols, in(0), out);
    case OpKind::dropoutAdd:
      return dropoutAddForward(context, chain(op.chain), outRows, outCols, in(0), in(1), out);
    case OpKind::stochasticDepthAdd:
      return stochasticDepthAddForward(context, dropout(op.dropout), chain(op.chain), batch.sequences(), outCols, in(0),
                                       in(1), in(2), out);
    case OpKind::absorbedAttention:
      return absorbedForward(context, absorbed(op), floats(op.outputs[0]), floats(op.outputs[1]),
                             floats(op.outputs[2]), floats(op.outputs[3]));
    case OpKind::sliceRows:
      // The plan placed the output on the rows of the input.
      return Status::success();
    case OpKind::concatRows:
      return concat(op);
    case OpKind::expand:
      return expand(context, outRows, outCols, weight(0), out);
    case OpKind::bceLoss:
      return bceForward(context, outRows, op.posWeight, op.smoothing, floats(op.inputs[0]), batch.labels(),
                        floats(op.outputs[0]));
  }
  return Status::success();
}

Status Runtime::linear(const Op& op) {
  const int64_t in = cols(op.inputs[0]), out = cols(op.outputs[0]);
  const Format format = computeFormat(op);
  Tensor x;
  RELIC_TRY(operand(value(op.inputs[0]), size(op.inputs[0]), format, Scratch::operandA, &x));
  const Tensor y = value(op.outputs[0]);
  const Tensor bias = op.parameterCount > 1 ? parameter(op.parameters[1], y.format) : Tensor{};
  return gemm.multiply(context, {rows(op.outputs[0]),
                                 out,
                                 in,
                                 format,
                                 {x.data, in, false},
                                 {parameter(op.parameters[0], format).data, in, true},
                                 y,
                                 bias,
                                 false});
}

// Copies the sides that the plan could not place on the output's rows.
Status Runtime::concat(const Op& op) {
  Tensor out = value(op.outputs[0]);
  for (int k = 0; k < op.inputCount; k++) {
    const int32_t input = op.inputs[k];
    RELIC_TRY(copyOrAdd(context, size(input), value(input), out, false));
    out = out.from(size(input));
  }
  return Status::success();
}

Status Runtime::batchNorm(const Op& op, bool training, bool updateBuffers) {
  const BatchNormAttributes& norm = op.batchNorm;
  const float* x = floats(op.inputs[0]);
  const float *weight = parameter(op.parameters[0]), *bias = parameter(op.parameters[1]);
  float *y = floats(op.outputs[0]), *stats = floats(op.outputs[1]);
  float *mean = states.values(norm.runningMean), *variance = states.values(norm.runningVar);
  const int64_t count = rows(op.inputs[0]), width = cols(op.inputs[0]);
  if (!training) return batchNormInfer(context, count, width, norm.eps, x, weight, bias, mean, variance, y);
  float* batches = states.values(norm.batches);
  if (!updateBuffers) mean = variance = batches = nullptr;
  return batchNormTrain(context, count, width, norm.eps, norm.momentum, x, weight, bias, y, stats, mean, variance,
                        batches, outcome);
}

}  // namespace relic::cuda
