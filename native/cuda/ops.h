// The arithmetic of the ops on the device, forward and backward: the twins of native/cpu/ops.h, which says what each
// one computes. Each call queues kernels on the context's stream. Tensors are row-major without gaps between rows, of
// any format; sums, statistics and parameters are float32. Sums are always ordered alike for the same shapes and device.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/model.h"
#include "cpu/ops.h"
#include "cuda/context.h"
#include "cuda/dropout.h"
#include "cuda/tensor.h"
#include "relic/math.h"
#include "relic/status.h"

namespace relic::cuda {

struct StepOutcome;

// --- Elements (elements.cu) ----------------------------------------------------------------------

// out (count) (+)= in, with a change of format where they differ.
Status copyOrAdd(Context&, int64_t count, const Tensor& in, const Tensor& out, bool accumulate);
Status clear(Context&, int64_t count, const Tensor& out);
// y = a + b
Status add(Context&, int64_t count, const Tensor& a, const Tensor& b, const Tensor& y);
Status activationForward(Context&, Activation, int64_t count, const Tensor& x, const Tensor& y);
Status activationBackward(Context&, Activation, int64_t count, const Tensor& x, const Tensor& dy, const Tensor& dx,
                          bool accumulate);
// out (rows, cols): `row` (cols) in every row.
Status expand(Context&, int64_t rows, int64_t cols, const float* row, const Tensor& out);

// --- Dropout, alone and with what stands beside it (masked.cu) -------------------------------------

// Dropouts in a row, of threshold 0 where there are fewer.
struct DropoutChain {
  DeviceDropout at[kMaxDropouts];
};

// out (rows, cols) (+)= masks * in; the same call is forward and backward.
Status dropoutApply(Context&, const DropoutChain&, int64_t rows, int64_t cols, const Tensor& in, const Tensor& out,
                    bool accumulate);
// out = x + masks * y
Status dropoutAddForward(Context&, const DropoutChain&, int64_t rows, int64_t cols, const Tensor& x, const Tensor& y,
                         const Tensor& out);
// y = mask * f(x); dx (+)= mask * f'(x) dy. All (rows, cols).
Status activationDropoutForward(Context&, Activation, const DropoutChain&, int64_t rows, int64_t cols, const Tensor& x,
                                const Tensor& y);
Status activationDropoutBackward(Context&, Activation, const DropoutChain&, int64_t rows, int64_t cols,
                                 const Tensor& x, const Tensor& dy, const Tensor& dx, bool accumulate);

// --- Sequences (sequences.cu) --------------------------------------------------------------------

// Sequences of rows offsets[i] .. offsets[i + 1], an array (sequences + 1) on the device; `longest` rows at most.
struct Sequences {
  int64_t count;
  const int32_t* offsets;
  int64_t longest;
};

// out (rows, cols): the rows of each sequence from sources[i] on, an array (sequences) on the device of addresses of
// elements of `format`.
Status gather(Context&, const Sequences&, int64_t cols, const void* const* sources, Format format, const Tensor& out);
Status stochasticDepthForward(Context&, const DeviceDropout&, const Sequences&, int64_t cols, const Tensor& x,
                              const Tensor& y, const Tensor& out);
// dx or dy may be null.
Status stochasticDepthBackward(Context&, const DeviceDropout&, const Sequences&, int64_t cols, const Tensor& dout,
                               const Tensor& dx, bool accumulateX, const Tensor& dy, bool accumulateY);
// out = x + s (h + masks * y - x)
Status stochasticDepthAddForward(Context&, const DeviceDropout& depth, const DropoutChain&, const Sequences&,
                                 int64_t cols, const Tensor& x, const Tensor& h, const Tensor& y, const Tensor& out);
// Any of the three may be null.
struct DepthGradients {
  Tensor dx, dh, dy;
  bool accumulateX, accumulateH, accumulateY;
};
Status stochasticDepthAddBackward(Context&, const DeviceDropout& depth, const DropoutChain&, const Sequences&,
                                  int64_t cols, const Tensor& dout, const DepthGradients& gradients);

// --- Norms and sums over rows (layer_norm.cu, sums.cu, batch_norm.cu) -----------------------------

Status layerNormForward(Context&, int64_t rows, int64_t cols, float eps, const Tensor& x, const float* weight,
                        const float* bias, const Tensor& y, float* stats);
// Any of dx, dweight, dbias may be null.
Status layerNormBackward(Context&, int64_t rows, int64_t cols, const Tensor& x, const float* weight,
                         const float* stats, const Tensor& dy, const Tensor& dx, bool accumulateX, float* dweight,
                         bool accumulateWeight, float* dbias, bool accumulateBias);
// sums (cols) (+)= column sums of x (rows, cols).
Status columnSums(Context&, int64_t rows, int64_t cols, const Tensor& x, float* sums, bool accumulate);
// out (cols) (+)= the sum over `parts` of partials (parts, stride), in the order of the parts.
Status sumParts(Context&, int64_t parts, int64_t cols, int64_t stride, const float* partials, float* out,
                bool accumulate);

// As on the CPU; `batches` (1) counts up. The three running values are null when they shall not move, and do not when
// outcome->notFinite is set.
Status batchNormTrain(Context&, int64_t rows, int64_t cols, float eps, float momentum, const float* x,
                      const float* weight, const float* bias, float* y, float* stats, float* runningMean,
                      float* runningVar, float* batches, const StepOutcome* outcome);
Status batchNormInfer(Context&, int64_t rows, int64_t cols, float eps, const float* x, const float* weight,
                      const float* bias, const float* runningMean, const float* runningVar, float* y);
Status batchNormBackward(Context&, int64_t rows, int64_t cols, const float* x, const float* weight,
                         const float* stats, const float* dy, float* dx, bool accumulateX, float* dweight,
                         bool accumulateWeight, float* dbias, bool accumulateBias);

// --- Loss (loss.cu) ------------------------------------------------------------------------------

Status bceForward(Context&, int64_t pairs, float posWeight, float smoothing, const float* logits, const float* labels,
                  float* loss);
Status bceBackward(Context&, int64_t pairs, float posWeight, float smoothing, const float* logits, const float* labels,
                   const float* dloss, float* dlogits, bool accumulate);

// What a step is told by the host, in device memory: a step that is launched again finds other values there.
struct StepInputs {
  double lr, momentum;
  uint32_t step;
};

// What steps leave for one another and for the host. `scale` multiplies the loss of float16 training and is 1 otherwise;
// goodSteps counts the steps since it last changed.
struct StepOutcome {
  float scale;
  int32_t goodSteps;
  int32_t notFinite;   // a loss was NaN or infinite: later steps change nothing until the host clears it
  int32_t overflowed;  // a gradient of this step is
  int64_t applied;     // steps that changed parameters, since the model was created
  int64_t recorded;    // steps since the host cleared it
};

// Of one step; the loss sums of its shards follow.
struct StepRecord {
  float scale;
  int32_t notFinite, overflowed, unused;
};

// Keeps the `kept` pairs of largest loss (losses that are not numbers first, equal ones by index): their gradient `seed`
// (pairs) is scale / kept, that of the others 0. *lossSum is the sum of the kept losses; if it is not finite,
// outcome->notFinite is set.
Status selectPairs(Context&, int64_t pairs, int64_t kept, const float* losses, float* seed, double* lossSum,
                   StepOutcome* outcome);

// --- Optimisers (optimizer.cu) -------------------------------------------------------------------

// Sets outcome->overflowed when one of the gradients (count) is not finite.
Status findOverflow(Context&, int64_t count, const float* gradients, StepOutcome* outcome);

// The numbers of one step's updates. `first`: whether nothing was updated before.
struct UpdateConstants {
  AdamWStep adamw;
  float rate, decay, momentum;
  int32_t first;
};

// out (runs): for parameters of which bases[i] steps were made when outcome->applied was 0; all on the device.
Status prepareUpdates(Context&, int64_t runs, const int64_t* bases, const StepInputs* inputs,
                      const StepOutcome* outcome, const OptimizerSettings& settings, UpdateConstants* out);

// One step of `count` parameters unless the outcome forbids it. The gradient is first multiplied by factor / scale.
// `copy` receives the new parameters in its format; it may be null.
struct Update {
  int64_t count;
  float* parameters;
  const float* gradients;
  float* first;
  float* second;  // AdamW only
  Tensor copy;
  float factor;
  const UpdateConstants* constants;
  const StepOutcome* outcome;
};
Status adamwUpdate(Context&, const Update&);
Status sgdUpdate(Context&, const Update&);

// The end of a step: records what it did, with the losses of its shards, as number outcome->recorded of `records`, each
// of recordBytes(shards or more) bytes. `scales`: halves the loss scale after an overflow, doubles it after 2000 steps
// without one.
constexpr size_t recordBytes(int64_t shards) {
  return sizeof(StepRecord) + static_cast<size_t>(shards) * sizeof(double);
}
Status closeStep(Context&, int64_t shards, const double* lossSums, bool scales, StepOutcome* outcome, char* records,
                 size_t bytesPerRecord);

}  // namespace relic::cuda
