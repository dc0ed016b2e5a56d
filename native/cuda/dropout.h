// Dropout as kernels take it: relic::Dropout (native/cpu/ops.h) with the step in device memory, where a launch that is
// repeated finds the next one.
#pragma once

#include <cstdint>

#include "cpu/ops.h"
#include "cuda/device.h"

namespace relic::cuda {

struct DeviceDropout {
  uint32_t key[2];
  uint32_t site;
  const uint32_t* step;  // on the device; not read when threshold is 0
  uint32_t threshold;
  float scale;
};

}  // namespace relic::cuda
