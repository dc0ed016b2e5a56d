// The backward ops: each adds to or writes the gradients its step names, from that of its output.
#include "runtime.h"

namespace relic {
namespace {

// One backward op, with the pointers that its step leads to.
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

  void run() {
    switch (op_.kind) {
      case OpKind::gather:
        return;
      case OpKind::linear:
        return linear();
      case OpKind::layerNorm:
        return layerNormBackward(context(), rows_, cols_, x(), weight(), stats(), dy_, dx(0), adds(0), dw(0),
                                 addsParameter(0), dw(1), addsParameter(1));
      case OpKind::batchNorm:
        return batchNormBackward(rows_, cols_, x(), weight(), stats(), dy_, dx(0), adds(0), dw(0), addsParameter(0),
                                 dw(1), addsParameter(1));
      case OpKind::activation:
        if (!wants(0)) return;
        return activationBackward(context(), static_cast<Activation>(op_.activation), rows_ * cols_, x(), dy_, dx(0),
                                  adds(0));
      case OpKind::dropout:
        if (!wants(0)) return;
        return dropoutApply(context(), runtime_.dropout(op_.dropout), rows_, cols_, dy_, dx(0), adds(0), map());
      case OpKind::add:
        for (int k = 0; k < 2; k++) {
          if (wants(k)) copyOrAdd(context(), rows_ * cols_, dy_, dx(k), adds(k));
        }
        return;
      case OpKind::stochasticDepth:
        if (!wants(0) && !wants(1)) return;
        return stochasticDepthBackward(context(), runtime_.dropout(op_.dropout), runtime_.layout.sequences(),
                                       runtime_.layout.offsets.data(), cols_, dy_, dx(0), adds(0), dx(1), adds(1),
                                       runtime_.layout.sequenceMap());
      case OpKind::attention:
        return attention();
      case OpKind::activationDropout:
        if (!wants(0)) return;
        return activationDropoutBackward(context(), static_cast<Activation>(op_.activation),
                                         runtime_.dropout(op_.dropout), rows_, cols_, x(), dy_, dx(0), adds(0),
                                         map());
      case OpKind::dropoutAdd:
        if (wants(0)) copyOrAdd(context(), rows_ * cols_, dy_, dx(0), adds(0));
        if (wants(1)) {
          const Dropout chain[] = {runtime_.dropout(op_.chain[0]), runtime_.dropout(op_.chain[1])};
          maskChain(context(), chain, kMaxDropouts, rows_, cols_, dy_, dx(1), adds(1), map());
        }
        return;
      case OpKind::stochasticDepthAdd:
        return stochasticDepthAddBackward(context(), runtime_.dropout(op_.dropout),
                                          {runtime_.dropout(op_.chain[0]), runtime_.dropout(op_.chain[1])},
                                          runtime_.layout.sequences(), runtime_.layout.offsets.data(), cols_, dy_,
                                          gradient(0), gradient(1), gradient(2), map(), runtime_.layout.sequenceMap());
      case OpKind::absorbedAttention:
        return absorbed();
      case OpKind::sliceRows:
        return slice();
      case OpKind::concatRows:
        return concat();
      case OpKind::expand:
        if (dw(0) != nullptr) columnSums(context(), rows_, cols_, dy_, dw(0), addsParameter(0));
        return;
      case OpKind::bceLoss:
        if (!wants(0)) return;
        return bceBackward(rows_, op_.posWeight, op_.smoothing, x(), runtime_.labels, dy_, dx(0), adds(0));
    }
  }

 private:
  Context& context() { return runtime_.context; }
  const float* x() const { return runtime_.value(op_.inputs[0]); }
  const float* weight() const { return runtime_.parameter(op_.parameters[0]); }
  const float* stats() const { return runtime_.value(op_.outputs[1]); }

  bool wants(int k) const {
    return k < op_.inputCount && (step_.inputs[k] == Action::write || step_.inputs[k] == Action::add);
  }
  bool adds(int k) const { return step_.inputs[k] == Action::add; }
  // The gradient of an input, or null.
  float* dx(int k) const { return wants(k) ? runtime_.gradient(op_.inputs[k]) : nullptr; }

  // How masks number the rows of the op.
  const RowMap* map() const {
    return runtime_.layout.map(runtime_.program.tensors[static_cast<size_t>(op_.outputs[0])].rows);
  }
  Gradient gradient(int k) const { return {dx(k), adds(k)}; }

  // The gradient of a parameter slice, or null.
  float* dw(int k) const {
    if (k >= op_.parameterCount || step_.parameters[k] == Target::none) return nullptr;
    return optimizer_.gradient(op_.parameters[k].state) + op_.parameters[k].offset();
  }
  bool addsParameter(int k) const { return addParameters_ || step_.parameters[k] == Target::add; }

  void linear() {
    const int64_t in = runtime_.cols(op_.inputs[0]);
    Context& product = runtime_.contextOf(op_);
    if (wants(0)) linearBackwardInput(product, rows_, cols_, in, dy_, weight(), dx(0), adds(0));
    if (dw(0) != nullptr) linearBackwardWeight(product, rows_, cols_, in, dy_, x(), dw(0), addsParameter(0));
    if (dw(1) != nullptr) columnSums(context(), rows_, cols_, dy_, dw(1), addsParameter(1));
  }

  void absorbed() {
    const auto parameter = [&](int k) { return Gradient{dw(k), addsParameter(k)}; };
    const int32_t* outputs = op_.outputs;
    absorbedAttentionBackward(context(), runtime_.absorbed(op_), stats(), runtime_.value(outputs[2]),
                              runtime_.value(outputs[3]), dy_,
                              {runtime_.gradient(outputs[2]), runtime_.gradient(outputs[3]), gradient(0), gradient(1),
                               parameter(0), parameter(2), parameter(3)});
    if (dw(1) != nullptr && !addsParameter(1)) runtime_.clear(dw(1), op_.parameters[1].elements());
  }

  void attention() {
    if (!wants(0) && !wants(1)) return;
    for (int k = 0; k < 2; k++) {
      if (wants(k) && !adds(k)) runtime_.clear(dx(k), runtime_.size(op_.inputs[k]));
    }
    const AttentionAttributes& a = op_.attention;
    float* dq = wants(0) ? dx(0) + a.queryOffset : nullptr;
    float* dk = wants(1) ? dx(1) + a.keyOffset : nullptr;
    float* dv = wants(1) ? dx(1) + a.valueOffset : nullptr;
    attentionBackward(context(), runtime_.attention(op_), runtime_.value(op_.outputs[0]), stats(), dy_, dq, dk, dv);
  }

  void slice() {
    if (!wants(0)) return;
    const int64_t sizeA = runtime_.layout.tokensA * cols_, sizeB = runtime_.layout.tokensB * cols_;
    float *a = dx(0), *b = dx(0) + sizeA;
    if (!adds(0)) runtime_.clear(op_.sideB ? a : b, op_.sideB ? sizeA : sizeB);
    copyOrAdd(context(), op_.sideB ? sizeB : sizeA, dy_, op_.sideB ? b : a, adds(0));
  }

  void concat() {
    const float* part = dy_;
    for (int k = 0; k < 2; k++) {
      const int64_t size = runtime_.size(op_.inputs[k]);
      if (wants(k)) copyOrAdd(context(), size, part, dx(k), adds(k));
      part += size;
    }
  }

  Runtime& runtime_;
  OptimizerState& optimizer_;
  const Op& op_;
  const BackwardStep& step_;
  const bool addParameters_;
  const float* const dy_;
  const int64_t rows_, cols_;
};

}  // namespace

bool Runtime::backward(OptimizerState& optimizer, bool addParameters, comm::GradientExchange* exchange) {
  auto time = static_cast<int32_t>(program.training.size());
  int32_t done = 0;
  expire(time);
  for (const BackwardStep& step : plan_->backward) {
    if (cancelled.load(std::memory_order_relaxed)) return false;
    Backward(*this, optimizer, step, addParameters).run();
    expire(++time);
    if (exchange != nullptr) exchange->completed(done++);
  }
  return true;
}

}  // namespace relic
