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

struct Sgd {
  float rate, decay, momentum;
  bool first;
};

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

__global__ void __launch_bounds__(kThreads) adamwKernel(Update update, AdamWStep step) {
  eachParameter(update, true, [&](float& p, float g, float& m, float& v) { adamwElement(step, p, g, m, v); });
}

__global__ void __launch_bounds__(kThreads) sgdKernel(Update update, Sgd sgd) {
  eachParameter(update, false, [&](float& p, float g, float& m, float&) {
    const float d = g + sgd.decay * p;
    // The first buffer is the gradient whatever the memory held before.
    m = sgd.first || sgd.momentum == 0.0f ? d : sgd.momentum * m + d;
    p -= sgd.rate * m;
  });
}

__global__ void scaleKernel(StepOutcome* outcome) {
  if (threadIdx.x > 0) return;
  // A loss that is no number says nothing about the scale.
  if (outcome->notFinite != 0) return;
  if (outcome->overflowed != 0) {
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

Status adamwUpdate(Context& context, const Update& update, double lr, double beta1, double beta2, double eps,
                   double weightDecay, int64_t steps) {
  const double step = static_cast<double>(steps);
  const AdamWStep constants{static_cast<float>(1 - lr * weightDecay),
                            static_cast<float>(lr / (1 - std::pow(beta1, step))),
                            static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, step))),
                            static_cast<float>(1 - beta1),
                            static_cast<float>(beta2),
                            static_cast<float>(1 - beta2),
                            static_cast<float>(eps)};
  RELIC_LAUNCH(context, adamwKernel, gridFor(context, divideUp(update.count, 4)), dim3(kThreads), update, constants);
  return Status::success();
}

Status sgdUpdate(Context& context, const Update& update, double lr, double momentum, double weightDecay,
                 int64_t steps) {
  const Sgd constants{static_cast<float>(lr), static_cast<float>(weightDecay), static_cast<float>(momentum),
                      steps == 1};
  RELIC_LAUNCH(context, sgdKernel, gridFor(context, divideUp(update.count, 4)), dim3(kThreads), update, constants);
  return Status::success();
}

Status updateScale(Context& context, StepOutcome* outcome) {
  RELIC_LAUNCH(context, scaleKernel, dim3(1), dim3(kWarpSize), outcome);
  return Status::success();
}

}  // namespace relic::cuda
