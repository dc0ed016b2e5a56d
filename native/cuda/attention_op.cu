#include "cuda/attention_op.h"

#include <cstdlib>

#include "cuda/attention.h"
#include "cuda/launch.h"
#include "cuda/ops.h"

namespace relic::cuda {
namespace {

// to (rows, width; ld) += from (rows, width; ld).
__global__ void __launch_bounds__(kThreads)
    addColumnsKernel(int64_t rows, int64_t width, int64_t ld, Tensor from, Tensor to) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < rows * width; i += stride) {
    const int64_t at = i / width * ld + i % width;
    storeOne(to, at, loadOne(to, at) + loadOne(from, at));
  }
}

// Calls body with a value of the element type of `format`.
template <typename Body>
Status dispatch(Format format, const Body& body) {
  if (format == Format::float32) return body(float{});
  if (format == Format::bfloat16) return body(BFloat16{});
  return body(Half{});
}

class Attention {
 public:
  Attention(Runtime& runtime, const Op& op) : runtime_(runtime), op_(op), a_(op.attention), format_(runtime.compute()) {}

  Status forward() {
    RELIC_TRY(bindOperands());
    const Tensor out = runtime_.value(op_.outputs[0]);
    Tensor written = out;
    if (out.format != format_) RELIC_TRY(scratchLike(outCount(), Scratch::output, &written));
    RELIC_TRY(dispatch(format_, [&](auto element) -> Status {
      using T = decltype(element);
      const AttentionArgs<T> args = argsOf<T>();
      if (single()) {
        RELIC_CUDA_TRY(attentionSingleForward(args, runtime_.batch.pairSegments(), static_cast<T*>(written.data),
                                              logSumExp(), stream()));
      } else {
        RELIC_CUDA_TRY(cuda::attentionForward(args, runtime_.batch.queryTiles(a_.segments),
                                              static_cast<T*>(written.data), logSumExp(), stream()));
      }
      return Status::success();
    }));
    return copyOrAdd(runtime_.context, outCount(), written, out, false);
  }

  Status backward(const BackwardStep& step) {
    for (int k = 0; k < 2; k++) actions_[k] = step.inputs[k];
    if (!wants(0) && !wants(1)) return Status::success();
    RELIC_TRY(bindOperands());
    Tensor out, dout;
    RELIC_TRY(runtime_.operand(runtime_.value(op_.outputs[0]), outCount(), format_, Scratch::output, &out));
    RELIC_TRY(
        runtime_.operand(runtime_.gradient(op_.outputs[0]), outCount(), format_, Scratch::outputGradient, &dout));
    RELIC_TRY(clearUncovered());
    Tensor dq, dk, dv;
    if (wants(0)) RELIC_TRY(bindGradient(0, a_.queryOffset, Scratch::queryGradient, &dq));
    if (wants(1)) {
      RELIC_TRY(bindGradient(1, a_.keyOffset, Scratch::keyGradient, &dk));
      RELIC_TRY(bindGradient(1, a_.valueOffset, Scratch::valueGradient, &dv));
    }
    void* dots = nullptr;
    const auto dotBytes = static_cast<size_t>(runtime_.size(op_.outputs[1])) * sizeof(float);
    RELIC_TRY(runtime_.context.scratch(Scratch::partials, dotBytes, &dots));
    RELIC_TRY(dispatch(format_, [&](auto element) -> Status {
      using T = decltype(element);
      const AttentionArgs<T> args = argsOf<T>();
      const AttentionGradients<T> gradients{static_cast<const T*>(out.data),
                                            logSumExp(),
                                            static_cast<const T*>(dout.data),
                                            static_cast<T*>(dq.data),
                                            static_cast<T*>(dk.data),
                                            static_cast<T*>(dv.data),
                                            direct(0) && accumulates(0),
                                            direct(1) && accumulates(1)};
      if (single()) {
        RELIC_CUDA_TRY(attentionSingleBackward(args, gradients, runtime_.batch.pairSegments(), stream()));
      } else {
        RELIC_CUDA_TRY(cuda::attentionBackward(args, gradients, runtime_.batch.queryTiles(a_.segments),
                                               runtime_.batch.keyTiles(a_.segments), static_cast<float*>(dots),
                                               stream()));
      }
      return Status::success();
    }));
    if (wants(0) && !direct(0)) RELIC_TRY(addColumns(0, a_.queryOffset, dq));
    if (wants(1) && !direct(1)) {
      RELIC_TRY(addColumns(1, a_.keyOffset, dk));
      RELIC_TRY(addColumns(1, a_.valueOffset, dv));
    }
    return Status::success();
  }

 private:
  bool single() const { return a_.segments == SegmentKind::pairToBoth; }
  bool sameTensor() const { return op_.inputs[0] == op_.inputs[1]; }
  cudaStream_t stream() const { return runtime_.context.stream(); }
  float* logSumExp() const { return runtime_.floats(op_.outputs[1]); }
  int64_t outCount() const { return runtime_.size(op_.outputs[0]); }
  int64_t cols(int k) const { return runtime_.cols(op_.inputs[k]); }
  bool wants(int k) const { return actions_[k] == Action::write || actions_[k] == Action::add; }

  Status bindOperands() {
    RELIC_TRY(runtime_.operand(runtime_.value(op_.inputs[0]), runtime_.size(op_.inputs[0]), format_,
                               Scratch::operandA, &q_));
    kv_ = q_;
    if (sameTensor()) return Status::success();
    return runtime_.operand(runtime_.value(op_.inputs[1]), runtime_.size(op_.inputs[1]), format_, Scratch::operandB,
                            &kv_);
  }

  template <typename T>
  AttentionArgs<T> argsOf() const {
    const auto at = [](const Tensor& tensor, int64_t column) { return static_cast<const T*>(tensor.data) + column; };
    return {static_cast<int>(a_.heads),   static_cast<int>(a_.width / a_.heads),
            at(q_, a_.queryOffset),       cols(0),
            at(kv_, a_.keyOffset),        at(kv_, a_.valueOffset),
            cols(1),                      runtime_.dropout(op_.dropout)};
  }

  // --- Where gradients go ------------------------------------------------------------------------

  // Whether two of the op's column ranges in one gradient share columns: two kernels' threads would write them at once.
  bool overlap(int64_t from, int64_t other) const { return std::abs(from - other) < a_.width; }
  bool columnsApart(int k) const {
    const bool keyFromValue = !overlap(a_.keyOffset, a_.valueOffset);
    const bool queryFromBoth = !overlap(a_.queryOffset, a_.keyOffset) && !overlap(a_.queryOffset, a_.valueOffset);
    return (k == 0 || keyFromValue) && (!sameTensor() || queryFromBoth);
  }

  // Whether the kernels may write the gradient of input k where it belongs.
  bool direct(int k) const {
    return wants(k) && runtime_.gradient(op_.inputs[k]).format == format_ && columnsApart(k);
  }

  // Whether the op's columns are all that the gradient of input k has.
  bool covers(int k) const {
    if (sameTensor()) return wants(0) && wants(1) && cols(0) == 3 * a_.width;
    return cols(k) == (k == 0 ? 1 : 2) * a_.width;
  }

  // Of one tensor read twice, what the first reading wrote the second adds to: here they have columns of their own.
  bool accumulates(int k) const {
    return actions_[k] == Action::add && !(k == 1 && sameTensor() && actions_[0] == Action::write);
  }

  // What the kernels leave of a gradient that is to be written is zero.
  Status clearUncovered() {
    for (int k = 0; k < 2; k++) {
      if (actions_[k] != Action::write || (direct(k) && covers(k))) continue;
      RELIC_TRY(clear(runtime_.context, runtime_.size(op_.inputs[k]), runtime_.gradient(op_.inputs[k])));
    }
    return Status::success();
  }

  // Memory for `count` elements in the kernels' format.
  Status scratchLike(int64_t count, Scratch use, Tensor* out) {
    out->format = format_;
    return runtime_.context.scratch(use, static_cast<size_t>(count) * bytesOf(format_), &out->data);
  }

  // Where the kernels write the gradient of the columns from `offset` on of input k.
  Status bindGradient(int k, int64_t offset, Scratch use, Tensor* out) {
    *out = runtime_.gradient(op_.inputs[k]);
    if (!direct(k)) RELIC_TRY(scratchLike(runtime_.size(op_.inputs[k]), use, out));
    *out = out->from(offset);
    return Status::success();
  }

  Status addColumns(int k, int64_t offset, const Tensor& from) {
    const int64_t rows = runtime_.rows(op_.inputs[k]);
    if (rows == 0) return Status::success();
    const Tensor to = runtime_.gradient(op_.inputs[k]).from(offset);
    RELIC_LAUNCH(runtime_.context, addColumnsKernel, gridFor(runtime_.context, rows * a_.width), dim3(kThreads), rows,
                 a_.width, cols(k), from, to);
    return Status::success();
  }

  Runtime& runtime_;
  const Op& op_;
  const AttentionAttributes& a_;
  const Format format_;
  Tensor q_, kv_;
  Action actions_[2] = {Action::none, Action::none};
};

}  // namespace

Status attentionForward(Runtime& runtime, const Op& op) { return Attention(runtime, op).forward(); }

Status attentionBackward(Runtime& runtime, const Op& op, const BackwardStep& step) {
  return Attention(runtime, op).backward(step);
}

}  // namespace relic::cuda
