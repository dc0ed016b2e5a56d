#include "comm/buckets.h"

#include <algorithm>

namespace relic::comm {

std::vector<GradientRange> makeBuckets(const std::vector<GradientRange>& parameters, const BucketSizes& sizes) {
  std::vector<GradientRange> buckets;
  bool open = false;
  for (auto parameter = parameters.rbegin(); parameter != parameters.rend(); ++parameter) {
    if (open) {
      GradientRange& bucket = buckets.back();
      bucket.offset = parameter->offset;
      bucket.length += parameter->length;
      bucket.readyAfter = std::max(bucket.readyAfter, parameter->readyAfter);
    } else {
      buckets.push_back(*parameter);
    }
    const size_t limit = buckets.size() == 1 ? sizes.first : sizes.rest;
    open = buckets.back().length * sizeof(float) < limit;
  }
  return buckets;
}

}  // namespace relic::comm
