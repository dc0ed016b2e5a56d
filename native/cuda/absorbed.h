// Attention of one query a pair with the key and value projections absorbed: the twin of native/cpu/ops_absorbed.cpp on
// the device. Everything with a row a pair is float32; x may be of any format and is read as it lies.
#pragma once

#include <cstdint>

#include "cpu/ops.h"
#include "cuda/attention.h"
#include "cuda/context.h"
#include "cuda/tensor.h"
#include "relic/status.h"

namespace relic::cuda {

// As relic::AbsorbedArgs, with the segments on the device; `longest` is the most keys that one of them has.
struct AbsorbedOperands {
  int64_t heads, width, cols;
  DeviceList<Segment> segments;
  int64_t longest;
  const float* q;  // (pairs, width)
  Tensor x;        // (tokens, cols)
  const float *keyWeight, *valueWeight, *valueBias;
  DeviceDropout dropout;
};

// y (pairs, width), stats (pairs, 2 heads): log-sum-exp and kept mass, keyed and pooled (pairs, heads, cols).
Status absorbedForward(Context&, const AbsorbedOperands&, float* y, float* stats, float* keyed, float* pooled);

// dkeyed and dpooled (pairs, heads, cols) are written on the way; the others are null where they are not wanted.
struct AbsorbedOutputs {
  float *dkeyed, *dpooled;
  Gradient dq;
  Tensor dx;
  bool accumulateX;
  Gradient dkeyWeight, dvalueWeight, dvalueBias;
};
Status absorbedBackward(Context&, const AbsorbedOperands&, const float* stats, const float* keyed, const float* pooled,
                        const float* dy, const AbsorbedOutputs& to);

}  // namespace relic::cuda
