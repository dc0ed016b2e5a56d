// Batch norm over pairs: few rows and narrow, so a thread a column, in double like the CPU's.
#include "cuda/launch.h"
#include "cuda/ops.h"

namespace relic::cuda {
namespace {

constexpr int kColumnThreads = 64;

__device__ __forceinline__ int64_t ownColumn() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }

struct Running {
  float *mean, *variance, *batches;  // null when they shall not move
  const StepOutcome* outcome;
};

__global__ void __launch_bounds__(kColumnThreads)
    trainKernel(int64_t rows, int64_t cols, float eps, float momentum, const float* x, const float* weight,
                const float* bias, float* y, float* stats, Running running) {
  const int64_t c = ownColumn();
  const bool moves = running.mean != nullptr && running.outcome->notFinite == 0;
  if (moves && c == 0 && running.batches != nullptr) running.batches[0] += 1;
  if (c >= cols) return;
  double mean = 0;
  for (int64_t r = 0; r < rows; r++) mean += x[r * cols + c];
  mean /= static_cast<double>(rows);
  double squares = 0;
  for (int64_t r = 0; r < rows; r++) {
    const double d = x[r * cols + c] - mean;
    squares += d * d;
  }
  const float shift = static_cast<float>(mean);
  const float scale = static_cast<float>(1 / sqrt(squares / static_cast<double>(rows) + eps));
  stats[c] = shift;
  stats[cols + c] = scale;
  if (moves) {
    running.mean[c] = static_cast<float>((1.0 - momentum) * running.mean[c] + momentum * mean);
    const double unbiased = squares / static_cast<double>(rows - 1);
    running.variance[c] = static_cast<float>((1.0 - momentum) * running.variance[c] + momentum * unbiased);
  }
  for (int64_t r = 0; r < rows; r++) y[r * cols + c] = (x[r * cols + c] - shift) * scale * weight[c] + bias[c];
}

__global__ void __launch_bounds__(kColumnThreads)
    inferKernel(int64_t rows, int64_t cols, float eps, const float* x, const float* weight, const float* bias,
                const float* mean, const float* variance, float* y) {
  const int64_t c = ownColumn();
  if (c >= cols) return;
  const float scale = static_cast<float>(1 / sqrt(static_cast<double>(variance[c]) + eps));
  for (int64_t r = 0; r < rows; r++) y[r * cols + c] = (x[r * cols + c] - mean[c]) * scale * weight[c] + bias[c];
}

__device__ __forceinline__ void give(float& target, double value, bool accumulate) {
  target = static_cast<float>(accumulate ? target + value : value);
}

__global__ void __launch_bounds__(kColumnThreads)
    backwardKernel(int64_t rows, int64_t cols, const float* x, const float* weight, const float* stats,
                   const float* dy, float* dx, bool accumulateX, float* dweight, bool accumulateWeight, float* dbias,
                   bool accumulateBias) {
  const int64_t c = ownColumn();
  if (c >= cols) return;
  const double mean = stats[c], scale = stats[cols + c];
  double sum = 0, dot = 0;
  for (int64_t i = c; i < rows * cols; i += cols) {
    sum += dy[i];
    dot += dy[i] * (x[i] - mean) * scale;
  }
  if (dweight != nullptr) give(dweight[c], dot, accumulateWeight);
  if (dbias != nullptr) give(dbias[c], sum, accumulateBias);
  if (dx == nullptr) return;
  for (int64_t i = c; i < rows * cols; i += cols) {
    const double normed = (x[i] - mean) * scale;
    give(dx[i], weight[c] * scale * (dy[i] - (sum + normed * dot) / static_cast<double>(rows)), accumulateX);
  }
}

dim3 columnGrid(int64_t cols) { return dim3(static_cast<unsigned>(divideUp(cols, kColumnThreads))); }

}  // namespace

Status batchNormTrain(Context& context, int64_t rows, int64_t cols, float eps, float momentum, const float* x,
                      const float* weight, const float* bias, float* y, float* stats, float* runningMean,
                      float* runningVar, float* batches, const StepOutcome* outcome) {
  RELIC_LAUNCH(context, trainKernel, columnGrid(cols), dim3(kColumnThreads), rows, cols, eps, momentum, x, weight, bias,
               y, stats, Running{runningMean, runningVar, batches, outcome});
  return Status::success();
}

Status batchNormInfer(Context& context, int64_t rows, int64_t cols, float eps, const float* x, const float* weight,
                      const float* bias, const float* runningMean, const float* runningVar, float* y) {
  RELIC_LAUNCH(context, inferKernel, columnGrid(cols), dim3(kColumnThreads), rows, cols, eps, x, weight, bias,
               runningMean, runningVar, y);
  return Status::success();
}

Status batchNormBackward(Context& context, int64_t rows, int64_t cols, const float* x, const float* weight,
                         const float* stats, const float* dy, float* dx, bool accumulateX, float* dweight,
                         bool accumulateWeight, float* dbias, bool accumulateBias) {
  RELIC_LAUNCH(context, backwardKernel, columnGrid(cols), dim3(kColumnThreads), rows, cols, x, weight, stats, dy, dx,
               accumulateX, dweight, accumulateWeight, dbias, accumulateBias);
  return Status::success();
}

}  // namespace relic::cuda
