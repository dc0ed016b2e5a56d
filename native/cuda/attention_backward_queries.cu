// Attention backward of the queries: a block computes dq of 64 queries of one head, key tile by key tile.
#include "cuda/attention_backward.h"
#include "cuda/attention_mask.h"
#include "cuda/attention_tile.h"

namespace relic::cuda {
namespace {

template <typename T, int D>
__global__ void __launch_bounds__(kTileThreads, kBackwardQueriesBlocks<T, D>) backwardQueriesKernel(BackwardArgs<T> a) {
  constexpr int kKeys = kBackwardRows<T, D>, kStage = 2 * kKeys * kStride<T, D>;
  const int heads = a.attention.heads, width = a.attention.headWidth;
  const AttentionTile tile = a.tiles[blockIdx.x / static_cast<unsigned>(heads)];
  const int head = static_cast<int>(blockIdx.x % static_cast<unsigned>(heads)), column = head * width;
  const int queries = tile.queryTo - tile.queryFrom, keys = tile.keyTo - tile.keyFrom;
  const int lane = laneOf(), own = warpOf() * kChunk;
  const int64_t ldq = a.attention.ldq, ldkv = a.attention.ldkv, ldOut = static_cast<int64_t>(heads) * width;
  const MaskKeys& mask = a.mask;
  const uint32_t step = stepOf(mask);

  T* queryRows = sharedMemory<T>();
  T* gradientRows = queryRows + kAttentionTileRows * kStride<T, D>;
  T* stages = gradientRows + kAttentionTileRows * kStride<T, D>;
  const int64_t firstKey = tile.keyFrom * ldkv + column;
  RowLoader<T, D, kKeys> keyLoader(a.attention.k + firstKey, ldkv, width, a.aligned);
  RowLoader<T, D, kKeys> valueLoader(a.attention.v + firstKey, ldkv, width, a.aligned);
  const auto loadStage = [&](int index) {
    T* stage = stages + index % 2 * kStage;
    keyLoader.load(stage, keys - index * kKeys);
    valueLoader.load(stage + kStage / 2, keys - index * kKeys);
    cpAsyncCommit();
  };
  const T* firstQuery = a.attention.q + tile.queryFrom * ldq + column;
  const T* firstGradient = a.gradients.dout + tile.queryFrom * ldOut + column;
  RowLoader<T, D, kAttentionTileRows>(firstQuery, ldq, width, a.aligned).load(queryRows, queries);
  RowLoader<T, D, kAttentionTileRows>(firstGradient, ldOut, width, a.aligned).load(gradientRows, queries);
  loadStage(0);
  float offset[2], dot[2];
  RELIC_UNROLL
  for (int half = 0; half < 2; half++) {
    const int row = own + lane / 4 + 8 * half;
    const int64_t at = static_cast<int64_t>(tile.queryFrom + row) * heads + head;
    offset[half] = row < queries ? a.gradients.logSumExp[at] * kLog2E : 0.0f;
    dot[half] = row < queries ? a.dots[at] : 0.0f;
  }
  cpAsyncWait<0>();
  __syncthreads();

  WarpRows<T, D, true> q, dout;
  q.load(queryRows + own * kStride<T, D>);
  dout.load(gradientRows + own * kStride<T, D>);
  const float scale = a.factor * kLog2E;
  const auto maskRow = static_cast<uint32_t>((tile.queryFrom + own) * heads + head);
  float dq[D / 8][4] = {};
  for (int index = 0; index * kKeys < keys; index++) {
    if ((index + 1) * kKeys < keys) loadStage(index + 1);
    const int left = own < queries ? keys - index * kKeys : 0;
    const T* k = stages + index % 2 * kStage;
    const T* v = k + kStage / 2;
    for (int first = 0; first < kKeys && first < left; first += kChunk) {
      float s[2][4], dp[2][4];
      multiplyTransposed<T, D>(s, q, k + first * kStride<T, D>);
      multiplyTransposed<T, D>(dp, dout, v + first * kStride<T, D>);
      uint32_t kept = ~0u;
      if (mask.threshold != 0) {
        kept = keptOfQueryRows(mask, step, maskRow, static_cast<uint32_t>(heads),
                               static_cast<uint32_t>((index * kKeys + first) / 8));
      }
      RELIC_UNROLL
      for (int i = 0; i < 8; i++) {
        const int n = i / 4, half = i / 2 % 2, key = first + 8 * n + lane % 4 * 2 + i % 2;
        float& score = s[n][i % 4];
        // Of scores far below 0 the score 0 of a missing key would be infinite.
        const float p = key < left ? exp2Fast(fmaf(score, scale, -offset[half])) : 0.0f;
        const float d = (kept >> keptBit(n, i % 4) & 1) != 0 ? dp[n][i % 4] * mask.scale : 0.0f;
        score = p * (d - dot[half]);
      }
      multiplyAdd<T, D>(dq, s, k + first * kStride<T, D>);
    }
    cpAsyncWait<0>();
    __syncthreads();
  }
  if (own >= queries) return;
  const float factor[2] = {a.factor, a.factor};
  storeRows<T, D>({a.gradients.dq + (tile.queryFrom + own) * ldq + column, ldq, width, a.aligned}, queries - own, dq,
                  factor, queryRows + own * kStride<T, D>, a.gradients.accumulateQ);
}

}  // namespace

template <typename T>
cudaError_t backwardQueries(const BackwardArgs<T>& args, int64_t tiles, cudaStream_t stream) {
  return withHeadWidth<T>(args.attention.headWidth, [&]<int D>() {
    constexpr size_t kBytes = (2 * kAttentionTileRows + 4 * kBackwardRows<T, D>) * kStride<T, D> * sizeof(T);
    static_assert(kBytes <= kMaxSharedBytes);
    return launch(backwardQueriesKernel<T, D>, static_cast<unsigned>(tiles * args.attention.heads), kTileThreads,
                  kBytes, stream, args);
  });
}

template cudaError_t backwardQueries(const BackwardArgs<float>&, int64_t, cudaStream_t);
template cudaError_t backwardQueries(const BackwardArgs<BFloat16>&, int64_t, cudaStream_t);
template cudaError_t backwardQueries(const BackwardArgs<Half>&, int64_t, cudaStream_t);

}  // namespace relic::cuda
