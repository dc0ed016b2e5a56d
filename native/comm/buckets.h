// Which gradients are summed over the ranks together. A bucket is one range of the gradients' memory; ranges are cut from
// its end, because backward ends with the first parameters (Li et al. 2020, "PyTorch Distributed").
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace relic::comm {

// In bytes. The first bucket is small, so that communication starts early.
struct BucketSizes {
  size_t first = size_t{1} << 20;
  size_t rest = size_t{25} << 20;
};

// Floats [offset, offset + length) of the gradients, and the backward step after which they are final.
struct GradientRange {
  size_t offset, length;
  int32_t readyAfter;
};

// `parameters` lie one after another. A bucket is closed by the parameter that fills it; none is cut.
std::vector<GradientRange> makeBuckets(const std::vector<GradientRange>& parameters, const BucketSizes& sizes);

}  // namespace relic::comm
