// Parameter updates and the loss scale of float16 training, all decided on the device.
#include <cmath>

#include "cuda/launch.h"
#include "cuda/ops.h"
#include "cuda/tensor.h"
#include "relic/math.h"

namespace relic::cuda {
namespace {

// PyTorch's GradScaler.
constexpr float kGrowth = 2.0f, kBackoff = 0.5f;
constexpr int32_t kGrowthInterval = 2000;

__global__ void __launch_bounds__(kThreads)
    overflowKernel(int64_t count, const float* gradients, StepOutcome* outcome) {
  bool found = false;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x * 4;
  for (int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * 4; i < count; i += stride) {
    float values[4];
    load4({const_cast<float*>(gradients), Format::float32}, i, count - i < 4 ? static_cast<int>(count - i) : 4, values);
#pragma unroll
    for (int k = 0; k < 4; k++) found |= !(values[k] - values[k] == 0);
  }
  // Every thread that writes, writes the same.
  if (found) outcome->overflowed = 1;
}

// In double, as on the CPU.
__global__ void prepareKernel(int64_t runs, const int64_t* bases, const StepInputs* inputs, const StepOutcome* outcome,
                              OptimizerSettings settings, UpdateConstants* out) {
  const int64_t run = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (run >= runs) return;
  const double lr = inputs->lr, momentum = inputs->momentum;
  const int64_t count = bases[run] + outcome->applied + 1;
  const double steps = static_cast<double>(count);
  out[run] = {{static_cast<float>(1 - lr * settings.weightDecay),
               static_cast<float>(lr / (1 - pow(momentum, steps))),
               static_cast<float>(1 / sqrt(1 - pow(settings.beta2, steps))),
               static_cast<float>(1 - momentum),
               static_cast<float>(settings.beta2),
               static_cast<float>(1 - settings.beta2),
               static_cast<float>(settings.eps)},
              static_cast<float>(lr),
              static_cast<float>(settings.weightDecay),
              static_cast<float>(momentum),
              count == 1 ? 1 : 0};
}

// Calls change(p, g, m, v) for every parameter, its scaled gradient and its moments.
template <typename Change>
__device__ __forceinline__ void eachParameter(const Update& u, bool hasSecond, const Change& change) {
  if (u.outcome->notFinite != 0 || u.outcome->overflowed != 0) return;
  // Exact: the scale is a power of two.
  const float factor = u.factor / u.outcome->scale;
  const Tensor parameters{u.parameters, Format::float32}, first{u.first, Format::float32};
  const Tensor gradients{const_cast<float*>(u.gradients), Format::float32}, second{u.second, Format::float32};
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x * 4;
  for (int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * 4; i < u.count; i += stride) {
    const int n = u.count - i < 4 ? static_cast<int>(u.count - i) : 4;
    float p[4], g[4], m[4], v[4] = {};
    load4(parameters, i, n, p);
    load4(gradients, i, n, g);
    load4(first, i, n, m);
    if (hasSecond) load4(second, i, n, v);
#pragma unroll
    for (int k = 0; k < 4; k++) change(p[k], g[k] * factor, m[k], v[k]);
    store4(parameters, i, n, p);
    store4(first, i, n, m);
    if (hasSecond) store4(second, i, n, v);
    if (u.copy.data != nullptr) store4(u.copy, i, n, p);
  }
}

__global__ void __launch_bounds__(kThreads) adamwKernel(Update update) {
  const AdamWStep step = update.constants->adamw;
  eachParameter(update, true, [&](float& p, float g, float& m, float& v) { adamwElement(step, p, g, m, v); });
}

__global__ void __launch_bounds__(kThreads) sgdKernel(Update update) {
  const UpdateConstants sgd = *update.constants;
  eachParameter(update, false, [&](float& p, float g, float& m, float&) {
    const float d = g + sgd.decay * p;
    // The first buffer is the gradient whatever the memory held before.
    m = sgd.first != 0 || sgd.momentum == 0.0f ? d : sgd.momentum * m + d;
    p -= sgd.rate * m;
  });
}

__global__ void closeKernel(int64_t shards, const double* lossSums, bool scales, StepOutcome* outcome, char* records,
                            size_t bytesPerRecord) {
  if (threadIdx.x > 0) return;
  char* place = records + static_cast<size_t>(outcome->recorded++) * bytesPerRecord;
  auto* record = reinterpret_cast<StepRecord*>(place);
  auto* sums = reinterpret_cast<double*>(place + sizeof(StepRecord));
  *record = {outcome->scale, outcome->notFinite, outcome->overflowed, 0};
  for (int64_t i = 0; i < shards; i++) sums[i] = lossSums[i];
  const bool overflowed = outcome->overflowed != 0;
  outcome->overflowed = 0;
  // A loss that is no number says nothing about the scale.
  if (outcome->notFinite != 0) return;
  if (!overflowed) outcome->applied++;
  if (!scales) return;
  if (overflowed) {
    outcome->scale *= kBackoff;
    outcome->goodSteps = 0;
  } else if (++outcome->goodSteps == kGrowthInterval) {
    outcome->scale *= kGrowth;
    outcome->goodSteps = 0;
  }
}

}  // namespace

Status findOverflow(Context& context, int64_t count, const float* gradients, StepOutcome* outcome) {
  RELIC_LAUNCH(context, overflowKernel, gridFor(context, divideUp(count, 4)), dim3(kThreads), count, gradients,
               outcome);
  return Status::success();
}

Status prepareUpdates(Context& context, int64_t runs, const int64_t* bases, const StepInputs* inputs,
                      const StepOutcome* outcome, const OptimizerSettings& settings, UpdateConstants* out) {
  RELIC_LAUNCH(context, prepareKernel, dim3(static_cast<unsigned>(divideUp(runs, kWarpSize))), dim3(kWarpSize), runs,
               bases, inputs, outcome, settings, out);
  return Status::success();
}

Status adamwUpdate(Context& context, const Update& update) {
  RELIC_LAUNCH(context, adamwKernel, gridFor(context, divideUp(update.count, 4)), dim3(kThreads), update);
  return Status::success();
}

Status sgdUpdate(Context& context, const Update& update) {
  RELIC_LAUNCH(context, sgdKernel, gridFor(context, divideUp(update.count, 4)), dim3(kThreads), update);
  return Status::success();
}

Status closeStep(Context& context, int64_t shards, const double* lossSums, bool scales, StepOutcome* outcome,
                 char* records, size_t bytesPerRecord) {
  RELIC_LAUNCH(context, closeKernel, dim3(1), dim3(kWarpSize), shards, lossSums, scales, outcome, records,
               bytesPerRecord);
  return Status::success();
}

}  // namespace relic::cuda
