// The loss of each pair, and which pairs a step learns from.
#include "cuda/launch.h"
#include "cuda/ops.h"
#include "relic/math.h"

namespace relic::cuda {
namespace {

__global__ void __launch_bounds__(kThreads) bceKernel(int64_t pairs, float posWeight, float smoothing,
                                                      const float* logits, const float* labels, float* loss) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= pairs) return;
  loss[i] = static_cast<float>(bceLoss(logits[i], smoothedLabel(labels[i], smoothing), posWeight));
}

__global__ void __launch_bounds__(kThreads)
    bceBackwardKernel(int64_t pairs, float posWeight, float smoothing, const float* logits, const float* labels,
                      const float* dloss, float* dlogits, bool accumulate) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= pairs) return;
  const double d = dloss[i] * bceSlope(logits[i], smoothedLabel(labels[i], smoothing), posWeight);
  dlogits[i] = static_cast<float>(accumulate ? dlogits[i] + d : d);
}

// Whether pair i is kept before pair j.
__device__ __forceinline__ bool precedes(const float* losses, int64_t i, int64_t j) {
  const float a = losses[i], b = losses[j];
  const bool aNan = a != a, bNan = b != b;
  if (aNan != bNan) return aNan;
  return !aNan && a != b ? a > b : i < j;
}

// One block: a batch has few pairs, and counting how many precede each one needs no sorting.
__global__ void __launch_bounds__(kThreads) selectKernel(int64_t pairs, int64_t kept, const float* losses, float* seed,
                                                         double* lossSum, StepOutcome* outcome) {
  __shared__ double sums[kThreads];
  const float share = outcome->scale * static_cast<float>(1 / static_cast<double>(kept));
  double sum = 0;
  for (int64_t i = threadIdx.x; i < pairs; i += kThreads) {
    int64_t before = 0;
    if (kept < pairs) {
      for (int64_t j = 0; j < pairs; j++) before += precedes(losses, j, i) ? 1 : 0;
    }
    seed[i] = before < kept ? share : 0.0f;
    if (before < kept) sum += losses[i];
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (static_cast<int>(threadIdx.x) < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x > 0) return;
  *lossSum = sums[0];
  // Only of NaN and the infinities is the difference to themselves not zero.
  if (!(sums[0] - sums[0] == 0)) outcome->notFinite = 1;
}

dim3 pairGrid(int64_t pairs) { return dim3(static_cast<unsigned>(divideUp(pairs, kThreads))); }

}  // namespace

Status bceForward(Context& context, int64_t pairs, float posWeight, float smoothing, const float* logits,
                  const float* labels, float* loss) {
  RELIC_LAUNCH(context, bceKernel, pairGrid(pairs), dim3(kThreads), pairs, posWeight, smoothing, logits, labels, loss);
  return Status::success();
}

Status bceBackward(Context& context, int64_t pairs, float posWeight, float smoothing, const float* logits,
                   const float* labels, const float* dloss, float* dlogits, bool accumulate) {
  RELIC_LAUNCH(context, bceBackwardKernel, pairGrid(pairs), dim3(kThreads), pairs, posWeight, smoothing, logits, labels,
               dloss, dlogits, accumulate);
  return Status::success();
}

Status selectPairs(Context& context, int64_t pairs, int64_t kept, const float* losses, float* seed, double* lossSum,
                   StepOutcome* outcome) {
  RELIC_LAUNCH(context, selectKernel, dim3(1), dim3(kThreads), pairs, kept, losses, seed, lossSum, outcome);
  return Status::success();
}

}  // namespace relic::cuda
