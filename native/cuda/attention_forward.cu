// Attention forward: a block computes the output of 64 queries of one head, key tile by key tile.
#include <cmath>

#include "cuda/attention.h"
#include "cuda/attention_mask.h"
#include "cuda/attention_tile.h"

namespace relic::cuda {

template <typename T>
struct ForwardArgs {
  AttentionArgs<T> attention;
  MaskKeys mask;
  const AttentionTile* tiles;
  T* out;
  float* logSumExp;
  float factor;
  bool aligned, outAligned;
};

namespace {

// Of this lane's rows g and g + 8: the largest score, and this lane's part of the sum of exp(score - largest).
struct OnlineSoftmax {
  float largest[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0, 0};
};

// Turns the scores of a key tile into probabilities up to the factor exp(largest) / sum, and rescales what was summed
// up before. `scale` is that of the scores times log2(e).
template <int Chunks, int D>
__device__ __forceinline__ void softmaxStep(OnlineSoftmax& state, float (&s)[Chunks][2][4], float (&out)[D / 8][4],
                                            float scale) {
  float before[2];
  RELIC_UNROLL
  for (int half = 0; half < 2; half++) {
    float largest = state.largest[half];
    RELIC_UNROLL
    for (int i = 0; i < Chunks * 4; i++) largest = fmaxf(largest, s[i / 4][i / 2 % 2][2 * half + i % 2]);
    largest = fmaxf(largest, __shfl_xor_sync(kFullWarp, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(kFullWarp, largest, 2));
    before[half] = exp2Fast((state.largest[half] - largest) * scale);
    const float offset = largest * scale;
    state.largest[half] = largest;
    float sum = state.sum[half] * before[half];
    RELIC_UNROLL
    for (int i = 0; i < Chunks * 4; i++) {
      float& p = s[i / 4][i / 2 % 2][2 * half + i % 2];
      p = exp2Fast(fmaf(p, scale, -offset));
      sum += p;
    }
    state.sum[half] = sum;
  }
  // After the first tiles the largest scores seldom change.
  if (__any_sync(kFullWarp, before[0] != 1.0f || before[1] != 1.0f)) {
    RELIC_UNROLL
    for (int i = 0; i < D / 2; i++) out[i / 4][i % 4] *= before[i / 2 % 2];
  }
}

template <typename T, int D>
__global__ void __launch_bounds__(kTileThreads, kForwardBlocks<T, D>) forwardKernel(ForwardArgs<T> a) {
  constexpr int kKeys = kForwardRows<T, D>, kStage = 2 * kKeys * kStride<T, D>;
  const int heads = a.attention.heads, width = a.attention.headWidth;
  const AttentionTile tile = a.tiles[blockIdx.x / static_cast<unsigned>(heads)];
  const int head = static_cast<int>(blockIdx.x % static_cast<unsigned>(heads)), column = head * width;
  const int queries = tile.queryTo - tile.queryFrom, keys = tile.keyTo - tile.keyFrom;
  const int lane = laneOf(), own = warpOf() * kChunk;
  const MaskKeys& mask = a.mask;
  const uint32_t step = stepOf(mask);

  // Two stages of keys and values: one is loaded while the other is used.
  T* queryRows = sharedMemory<T>();
  T* stages = queryRows + kAttentionTileRows * kStride<T, D>;
  const int64_t ldq = a.attention.ldq, ldkv = a.attention.ldkv, firstKey = tile.keyFrom * ldkv + column;
  RowLoader<T, D, kKeys> keyLoader(a.attention.k + firstKey, ldkv, width, a.aligned);
  RowLoader<T, D, kKeys> valueLoader(a.attention.v + firstKey, ldkv, width, a.aligned);
  const auto loadStage = [&](int index) {
    T* stage = stages + index % 2 * kStage;
    keyLoader.load(stage, keys - index * kKeys);
    valueLoader.load(stage + kStage / 2, keys - index * kKeys);
    cpAsyncCommit();
  };
  const T* firstQuery = a.attention.q + tile.queryFrom * ldq + column;
  RowLoader<T, D, kAttentionTileRows>(firstQuery, ldq, width, a.aligned).load(queryRows, queries);
  loadStage(0);
  cpAsyncWait<0>();
  __syncthreads();

  WarpRows<T, D, true> q;
  q.load(queryRows + own * kStride<T, D>);
  const float scale = a.factor * kLog2E;
  const auto maskRow = static_cast<uint32_t>((tile.queryFrom + own) * heads + head);
  OnlineSoftmax state;
  float out[D / 8][4] = {};
  for (int index = 0; index * kKeys < keys; index++) {
    if ((index + 1) * kKeys < keys) loadStage(index + 1);
    const int left = keys - index * kKeys;
    if (own < queries) {
      const T* k = stages + index % 2 * kStage;
      const T* v = k + kStage / 2;
      float s[kKeys / kChunk][2][4];
      RELIC_UNROLL
      for (int c = 0; c < kKeys / kChunk; c++) multiplyTransposed<T, D>(s[c], q, k + c * kChunk * kStride<T, D>);
      if (left < kKeys) {
        RELIC_UNROLL
        for (int i = 0; i < kKeys / 2; i++) {
          if (i / 8 * kChunk + i / 4 % 2 * 8 + lane % 4 * 2 + i % 2 >= left) s[i / 8][i / 4 % 2][i % 4] = -INFINITY;
        }
      }
      softmaxStep<kKeys / kChunk, D>(state, s, out, scale);
      RELIC_UNROLL
      for (int c = 0; c < kKeys / kChunk; c++) {
        if (mask.threshold != 0) {
          const auto block = static_cast<uint32_t>((index * kKeys + c * kChunk) / 8);
          const uint32_t kept = keptOfQueryRows(mask, step, maskRow, static_cast<uint32_t>(heads), block);
          RELIC_UNROLL
          for (int i = 0; i < 8; i++) {
            if ((kept >> keptBit(i / 4, i % 4) & 1) == 0) s[c][i / 4][i % 4] = 0;
          }
        }
        multiplyAdd<T, D>(out, s[c], v + c * kChunk * kStride<T, D>);
      }
    }
    cpAsyncWait<0>();
    __syncthreads();
  }
  if (own >= queries) return;

  float factor[2];
  RELIC_UNROLL
  for (int half = 0; half < 2; half++) {
    float sum = state.sum[half];
    sum += __shfl_xor_sync(kFullWarp, sum, 1);
    sum += __shfl_xor_sync(kFullWarp, sum, 2);
    factor[half] = mask.scale / sum;
    const int row = own + lane / 4 + 8 * half;
    if (lane % 4 == 0 && row < queries) {
      a.logSumExp[static_cast<int64_t>(tile.queryFrom + row) * heads + head] =
          state.largest[half] * a.factor + logf(sum);
    }
  }
  const int64_t ld = static_cast<int64_t>(heads) * width;
  storeRows<T, D>({a.out + (tile.queryFrom + own) * ld + column, ld, width, a.outAligned}, queries - own, out, factor,
                  queryRows + own * kStride<T, D>, false);
}

}  // namespace

template <typename T>
cudaError_t attentionForward(const AttentionArgs<T>& args, DeviceList<AttentionTile> queryTiles, T* out,
                             float* logSumExp, cudaStream_t stream) {
  const float factor = static_cast<float>(1 / std::sqrt(static_cast<double>(args.headWidth)));
  const bool aligned = isAligned(args), outAligned = aligned && reinterpret_cast<uintptr_t>(out) % 16 == 0;
  const ForwardArgs<T> all{args, maskKeys(args.dropout), queryTiles.items, out, logSumExp, factor, aligned, outAligned};
  return withHeadWidth<T>(args.headWidth, [&]<int D>() {
    constexpr size_t kBytes = (kAttentionTileRows + 4 * kForwardRows<T, D>) * kStride<T, D> * sizeof(T);
    static_assert(kBytes <= kMaxSharedBytes);
    if (queryTiles.count == 0) return cudaSuccess;
    return launch(forwardKernel<T, D>, static_cast<unsigned>(queryTiles.count * args.heads), kTileThreads, kBytes,
                  stream, all);
  });
}

template cudaError_t attentionForward(const AttentionArgs<float>&, DeviceList<AttentionTile>, float*, float*,
                                      cudaStream_t);
template cudaError_t attentionForward(const AttentionArgs<BFloat16>&, DeviceList<AttentionTile>, BFloat16*, float*,
                                      cudaStream_t);
template cudaError_t attentionForward(const AttentionArgs<Half>&, DeviceList<AttentionTile>, Half*, float*,
                                      cudaStream_t);

}  // namespace relic::cuda
