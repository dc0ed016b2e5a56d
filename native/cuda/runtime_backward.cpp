// The backward ops: each adds to or writes the gradients its step names, from that of its output.
#include "cuda/attention_op.h"
#include "cuda/ops.h"
#include "cuda/rank_exchange.h"
#include "cuda/runtime.h"

namespace relic::cuda {
namespace {

// One backward op, with what its step leads to.
class Backward {
 public:
  Backward(Runtime& runtime, OptimizerState& optimizer, const BackwardStep& step, bool addParameters)
      : runtime_(runtime),
        optimizer_(optimizer),
        op_(runtime.program.training[static_cast<size_t>(step.op)]),
        step_(step),
        addParameters_(addParameters),
        dy_(runtime.gradient(op_.outputs[0])),
        rows_(runtime.rows(op_.outputs[0])),
        cols_(runtime.cols(op_.outputs[0])) {}

  Status run() {
    switch (op_.kind) {
      case OpKind::gather:
        return Status::success();
      case OpKind::linear:
        return linear();
      case OpKind::layerNorm:
        return layerNormBackward(context(), rows_, cols_, x(), weight(), stats(), dy_, dx(0), adds(0), dw(0),
                                 addsParameter(0), dw(1), addsParameter(1));
      case OpKind::batchNorm:
        return batchNormBackward(context(), rows_, cols_, runtime_.floats(op_.inputs[0]), weight(), stats(),
                                 floats(dy_), floats(dx(0)), adds(0), dw(0), addsParameter(0), dw(1),
                                 addsParameter(1));
      case OpKind::activation:
        if (!wants(0)) return Status::success();
        return activationBackward(context(), static_cast<Activation>(op_.activation), rows_ * cols_, x(), dy_, dx(0),
                                  adds(0));
      case OpKind::dropout:
        if (!wants(0)) return Status::success();
        return dropoutApply(context(), runtime_.chain(op_.dropout), rows_, cols_, dy_, dx(0), adds(0));
      case OpKind::add:
        for (int k = 0; k < 2; k++) {
          if (wants(k)) RELIC_TRY(copyOrAdd(context(), rows_ * cols_, dy_, dx(k), adds(k)));
        }
        return Status::success();
      case OpKind::stochasticDepth:
        if (!wants(0) && !wants(1)) return Status::success();
        return stochasticDepthBackward(context(), runtime_.dropout(op_.dropout), runtime_.batch.sequences(), cols_,
                                       dy_, dx(0), adds(0), dx(1), adds(1));
      case OpKind::attention:
        return attentionBackward(runtime_, op_, step_);
      case OpKind::activationDropout:
        if (!wants(0)) return Status::success();
        return activationDropoutBackward(context(), static_cast<Activation>(op_.activation),
                                         runtime_.chain(op_.dropout), rows_, cols_, x(), dy_, dx(0), adds(0));
      case OpKind::dropoutAdd:
        if (wants(0)) RELIC_TRY(copyOrAdd(context(), rows_ * cols_, dy_, dx(0), adds(0)));
        if (!wants(1)) return Status::success();
        return dropoutApply(context(), runtime_.chain(op_.chain), rows_, cols_, dy_, dx(1), adds(1));
      case OpKind::stochasticDepthAdd:
        return stochasticDepthAddBackward(context(), runtime_.dropout(op_.dropout), runtime_.chain(op_.chain),
                                          runtime_.batch.sequences(), cols_, dy_,
                                          {dx(0), dx(1), dx(2), adds(0), adds(1), adds(2)});
      case OpKind::absorbedAttention:
        return absorbed();
      case OpKind::sliceRows:
        return slice();
      case OpKind::concatRows:
        return concat();
      case OpKind::expand:
        if (dw(0) == nullptr) return Status::success();
        return columnSums(context(), rows_, cols_, dy_, dw(0), addsParameter(0));
      case OpKind::bceLoss:
        if (!wants(0)) return Status::success();
        return bceBackward(context(), rows_, op_.posWeight, op_.smoothing, runtime_.floats(op_.inputs[0]),
                           runtime_.batch.labels(), floats(dy_), floats(dx(0)), adds(0));
    }
    return Status::success();
  }

 private:
  Context& context() { return runtime_.context; }
  Tensor x() const { return runtime_.value(op_.inputs[0]); }
  const float* weight() const { return runtime_.parameter(op_.parameters[0]); }
  const float* stats() const { return runtime_.floats(op_.outputs[1]); }
  static float* floats(const Tensor& tensor) { return static_cast<float*>(tensor.data); }

  bool wants(int k) const {
    return k < op_.inputCount && (step_.inputs[k] == Action::write || step_.inputs[k] == Action::add);
  }
  bool adds(int k) const { return step_.inputs[k] == Action::add; }
  // The gradient of an input, or null.
  Tensor dx(int k) const { return wants(k) ? runtime_.gradient(op_.inputs[k]) : Tensor{}; }

  // The gradient of a parameter slice, or null.
  float* dw(int k) const {
    if (k >= op_.parameterCount || step_.parameters[k] == Target::none) return nullptr;
    return optimizer_.gradient(op_.parameters[k].state) + op_.parameters[k].offset();
  }
  bool addsParameter(int k) const { return addParameters_ || step_.parameters[k] == Target::add; }

  Status linear() {
    const int64_t in = runtime_.cols(op_.inputs[0]);
    const Format format = runtime_.computeFormat(op_);
    Tensor dy, input;
    if (wants(0) || dw(0) != nullptr) {
      RELIC_TRY(runtime_.operand(dy_, rows_ * cols_, format, Scratch::operandA, &dy));
    }
    if (wants(0)) {
      const void* w = runtime_.parameter(op_.parameters[0], format).data;
      RELIC_TRY(runtime_.gemm.multiply(context(), {rows_, in, cols_, format, {dy.data, cols_, false}, {w, in, false},
                                                   dx(0), {}, adds(0)}));
    }
    if (dw(0) != nullptr) {
      RELIC_TRY(runtime_.operand(x(), rows_ * in, format, Scratch::operandB, &input));
      const Tensor dweight{dw(0), Format::float32};
      RELIC_TRY(runtime_.gemm.multiply(context(), {cols_, in, rows_, format, {dy.data, cols_, true},
                                                   {input.data, in, false}, dweight, {}, addsParameter(0)}));
    }
    if (dw(1) == nullptr) return Status::success();
    return columnSums(context(), rows_, cols_, dy_, dw(1), addsParameter(1));
  }

  Status absorbed() {
    const auto parameter = [&](int k) { return Gradient{dw(k), addsParameter(k)}; };
    const int32_t* outputs = op_.outputs;
    // Scores of a pair do not change with the key bias.
    if (dw(1) != nullptr && !addsParameter(1)) {
      RELIC_TRY(clear(context(), op_.parameters[1].elements(), {dw(1), Format::float32}));
    }
    return absorbedBackward(context(), runtime_.absorbed(op_), stats(), runtime_.floats(outputs[2]),
                            runtime_.floats(outputs[3]), floats(dy_),
                            {floats(runtime_.gradient(outputs[2])), floats(runtime_.gradient(outputs[3])),
                             {floats(dx(0)), adds(0)}, dx(1), adds(1), parameter(0), parameter(2), parameter(3)});
  }

  Status slice() {
    if (!wants(0)) return Status::success();
    const int64_t sizeA = runtime_.layout.tokensA * cols_, sizeB = runtime_.layout.tokensB * cols_;
    const Tensor a = dx(0), b = dx(0).from(sizeA);
    if (!adds(0)) RELIC_TRY(clear(context(), op_.sideB ? sizeA : sizeB, op_.sideB ? a : b));
    return copyOrAdd(context(), op_.sideB ? sizeB : sizeA, dy_, op_.sideB ? b : a, adds(0));
  }

  Status concat() {
    Tensor part = dy_;
    for (int k = 0; k < 2; k++) {
      const int64_t size = runtime_.size(op_.inputs[k]);
      if (wants(k)) RELIC_TRY(copyOrAdd(context(), size, part, dx(k), adds(k)));
      part = part.from(size);
    }
    return Status::success();
  }

  Runtime& runtime_;
  OptimizerState& optimizer_;
  const Op& op_;
  const BackwardStep& step_;
  const bool addParameters_;
  const Tensor dy_;
  const int64_t rows_, cols_;
};

}  // namespace

Status Runtime::backward(OptimizerState& optimizer, bool addParameters, RankExchange* exchange) {
  for (size_t i = 0; i < plan_->backward.size(); i++) {
    RELIC_TRY(Backward(*this, optimizer, plan_->backward[i], addParameters).run());
    if (exchange != nullptr) RELIC_TRY(exchange->completed(context, static_cast<int32_t>(i)));
  }
  return Status::success();
}

}  // namespace relic::cuda
