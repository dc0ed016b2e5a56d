// What the ranks of a step said of it, looked at on the device.
#include "cuda/launch.h"
#include "cuda/rank_exchange.h"

namespace relic::cuda {
namespace {

__global__ void reportsKernel(int64_t ranks, const comm::Report* reports, StepOutcome* outcome) {
  if (threadIdx.x > 0) return;
  for (int64_t rank = 0; rank < ranks; rank++) {
    const double sum = reports[rank].lossSum;
    // Only of NaN and the infinities is the difference to themselves not zero. Ranks that differ change nothing either.
    if (!(sum - sum == 0) || reports[rank].settings != reports[0].settings) outcome->notFinite = 1;
  }
}

}  // namespace

Status checkReports(Context& context, int64_t ranks, const comm::Report* reports, StepOutcome* outcome) {
  RELIC_LAUNCH(context, reportsKernel, dim3(1), dim3(kWarpSize), ranks, reports, outcome);
  return Status::success();
}

}  // namespace relic::cuda
