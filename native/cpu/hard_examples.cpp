#include "hard_examples.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace relic {

void hardestPairs(const float* losses, int64_t pairs, double keepRatio, int64_t minKeep, std::vector<int32_t>* kept) {
  kept->resize(static_cast<size_t>(pairs));
  std::iota(kept->begin(), kept->end(), 0);
  std::sort(kept->begin(), kept->end(), [&](int32_t i, int32_t j) {
    const bool iNan = std::isnan(losses[i]), jNan = std::isnan(losses[j]);
    if (iNan != jNan) return iNan;
    return !iNan && losses[i] != losses[j] ? losses[i] > losses[j] : i < j;
  });
  const double wanted = std::max(static_cast<double>(minKeep), std::ceil(static_cast<double>(pairs) * keepRatio));
  // Not above `wanted` also when that is not a number.
  if (wanted < static_cast<double>(pairs)) kept->resize(static_cast<size_t>(std::max(0.0, wanted)));
}

}  // namespace relic
