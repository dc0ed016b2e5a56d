// A batch of a call that ends later.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/model.h"

namespace relic {

// A batch that outlives the call's JavaScript arrays.
struct OwnBatch {
  std::vector<int32_t> proteinA, proteinB;
  std::vector<float> labels;

  explicit OwnBatch(const BatchView& view)
      : proteinA(view.proteinA, view.proteinA + view.pairs),
        proteinB(view.proteinB, view.proteinB + view.pairs),
        labels(view.labels, view.labels + view.pairs) {}
  BatchView view() const {
    return {static_cast<int64_t>(labels.size()), proteinA.data(), proteinB.data(), labels.data()};
  }
};

}  // namespace relic
