// What the kernels of attention's backward share.
//
// With p = exp(score - logSumExp), its mask M (0 or the dropout's scale), dp = dout v^T and dot = out . dout by row:
// ds = p (M dp - dot), dq = factor ds k, dk = factor ds^T q, dv = (M p)^T dout.
#pragma once

#include "cuda/attention.h"
#include "cuda/attention_mask.h"
#include "cuda/device.h"

namespace relic::cuda {

template <typename T>
struct BackwardArgs {
  AttentionArgs<T> attention;
  AttentionGradients<T> gradients;
  MaskKeys mask;
  const AttentionTile* tiles;
  float* dots;
  float factor;
  bool aligned;
};

// dq of the queries of each tile, for all heads.
template <typename T>
cudaError_t backwardQueries(const BackwardArgs<T>& args, int64_t tiles, cudaStream_t stream);
// dk and dv of the keys of each tile, for all heads.
template <typename T>
cudaError_t backwardKeys(const BackwardArgs<T>& args, int64_t tiles, cudaStream_t stream);

}  // namespace relic::cuda
