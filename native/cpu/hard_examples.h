// Online hard-example mining (Shrivastava et al. 2016; contract 1.7): the twin of
// src/engine/typescript/hard-examples.ts.
#pragma once

#include <cstdint>
#include <vector>

namespace relic {

// Leaves in `kept` the pairs of the max(minKeep, ceil(pairs keepRatio)) largest losses (pairs), the larger first, equal
// ones by index. A loss that is not a number counts as the largest, so that the step sees it.
void hardestPairs(const float* losses, int64_t pairs, double keepRatio, int64_t minKeep, std::vector<int32_t>* kept);

}  // namespace relic
