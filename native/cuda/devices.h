// What GPUs there are, and what one of them draws.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/ops.h"
#include "cuda/relic_cuda.h"
#include "relic/status.h"

namespace relic::cuda {

// Names, sizes and usability of every device. RELIC_ENGINE_UNAVAILABLE, with the driver's reason, when there is none.
Status listDevices(std::vector<RelicCudaDevice>* devices);

// mask (rows, cols) on the host: 0 or dropout.scale.
Status exportMask(int device, const Dropout& dropout, int64_t rows, int64_t cols, float* mask);

}  // namespace relic::cuda
