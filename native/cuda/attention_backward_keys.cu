// Attention backward of the keys: a block computes dk and dv of 64 keys of one head, query tile by query tile. Scores
// are computed transposed, keys by queries, so that they are at once left operands of the sums over queries.
#include "cuda/attention_backward.h"
#include "cuda/attention_mask.h"
#include "cuda/attention_tile.h"

namespace relic::cuda {
namespace {

// Queries, gradients of outputs, and the two numbers of each query.
template <typename T, int D>
struct QueryStage {
  static constexpr int kRows = kBackwardRows<T, D>;
  T queries[kRows * kStride<T, D>];
  T gradients[kRows * kStride<T, D>];
  // Log-sum-exp times log2(e). Beyond the last query all is 0, so that nothing is added.
  float offsets[kRows];
  float dots[kRows];
};

template <typename T, int D>
constexpr size_t kSharedBytes = 2 * (kAttentionTileRows * kStride<T, D> * sizeof(T) + sizeof(QueryStage<T, D>));

template <typename T, int D>
__global__ void __launch_bounds__(kTileThreads, kBackwardKeysBlocks<T, D>) backwardKeysKernel(BackwardArgs<T> a) {
  using Stage = QueryStage<T, D>;
  constexpr int kRows = Stage::kRows;
  static_assert(2 * kRows <= kTileThreads);
  const int heads = a.attention.heads, width = a.attention.headWidth;
  const AttentionTile tile = a.tiles[blockIdx.x / static_cast<unsigned>(heads)];
  const int head = static_cast<int>(blockIdx.x % static_cast<unsigned>(heads)), column = head * width;
  const int queries = tile.queryTo - tile.queryFrom, keys = tile.keyTo - tile.keyFrom;
  const int thread = static_cast<int>(threadIdx.x), lane = laneOf(), own = warpOf() * kChunk;
  const int64_t ldq = a.attention.ldq, ldkv = a.attention.ldkv, ldOut = static_cast<int64_t>(heads) * width;
  const MaskKeys& mask = a.mask;
  const uint32_t step = stepOf(mask);

  T* keyRows = sharedMemory<T>();
  T* valueRows = keyRows + kAttentionTileRows * kStride<T, D>;
  Stage* stages = reinterpret_cast<Stage*>(valueRows + kAttentionTileRows * kStride<T, D>);
  RowLoader<T, D, kRows> queryLoader(a.attention.q + tile.queryFrom * ldq + column, ldq, width, a.aligned);
  RowLoader<T, D, kRows> gradientLoader(a.gradients.dout + tile.queryFrom * ldOut + column, ldOut, width, a.aligned);
  const auto loadStage = [&](int index) {
    queryLoader.load(stages[index % 2].queries, queries - index * kRows);
    gradientLoader.load(stages[index % 2].gradients, queries - index * kRows);
    cpAsyncCommit();
  };
  // Thread t < kRows fetches the offset of the stage's query t, the next kRows threads fetch the dots.
  const auto fetchNumber = [&](int index) {
    const int row = index * kRows + thread % kRows;
    if (thread >= 2 * kRows || row >= queries) return 0.0f;
    const int64_t at = static_cast<int64_t>(tile.queryFrom + row) * heads + head;
    return thread < kRows ? a.gradients.logSumExp[at] * kLog2E : a.dots[at];
  };
  const auto storeNumber = [&](int index, float number) {
    if (thread < kRows) {
      stages[index % 2].offsets[thread] = number;
    } else if (thread < 2 * kRows) {
      stages[index % 2].dots[thread - kRows] = number;
    }
  };
  const int64_t firstKey = tile.keyFrom * ldkv + column;
  RowLoader<T, D, kAttentionTileRows>(a.attention.k + firstKey, ldkv, width, a.aligned).load(keyRows, keys);
  RowLoader<T, D, kAttentionTileRows>(a.attention.v + firstKey, ldkv, width, a.aligned).load(valueRows, keys);
  loadStage(0);
  storeNumber(0, fetchNumber(0));
  cpAsyncWait<0>();
  __syncthreads();

  // Beyond 96 columns the sums leave no registers to hold the keys and values.
  WarpRows<T, D, (D <= 96)> k, v;
  k.load(keyRows + own * kStride<T, D>);
  v.load(valueRows + own * kStride<T, D>);
  const float scale = a.factor * kLog2E;
  const auto block = static_cast<uint32_t>((tile.keyFrom - tile.segmentKey + own) / 8);
  float dk[D / 8][4] = {}, dv[D / 8][4] = {};
  for (int index = 0; index * kRows < queries; index++) {
    const bool more = (index + 1) * kRows < queries;
    if (more) loadStage(index + 1);
    const float number = more ? fetchNumber(index + 1) : 0.0f;
    const Stage& stage = stages[index % 2];
    const int left = own < keys ? queries - index * kRows : 0;
    for (int first = 0; first < kRows && first < left; first += kChunk) {
      const T* q = stage.queries + first * kStride<T, D>;
      const T* dout = stage.gradients + first * kStride<T, D>;
      float s[2][4], dp[2][4];
      multiplyTransposed<T, D>(s, k, q);
      multiplyTransposed<T, D>(dp, v, dout);
      uint32_t kept[2] = {~0u, ~0u};
      if (mask.threshold != 0) {
        const auto row = static_cast<uint32_t>((tile.queryFrom + index * kRows + first) * heads + head);
        keptOfKeyRows(mask, step, row, static_cast<uint32_t>(heads), block, kept);
      }
      RELIC_UNROLL
      for (int i = 0; i < 8; i++) {
        const int n = i / 4, query = first + 8 * n + lane % 4 * 2 + i % 2;
        const bool keep = (kept[n] >> (8 * (i % 4)) & 1) != 0;
        float &score = s[n][i % 4], &d = dp[n][i % 4];
        const float p = exp2Fast(fmaf(score, scale, -stage.offsets[query]));
        d = p * ((keep ? d * mask.scale : 0.0f) - stage.dots[query]);
        score = keep ? p : 0.0f;
      }
      multiplyAdd<T, D>(dv, s, dout);
      multiplyAdd<T, D>(dk, dp, q);
    }
    if (more) storeNumber(index + 1, number);
    cpAsyncWait<0>();
    __syncthreads();
  }
  if (own >= keys) return;
  const float factorK[2] = {a.factor, a.factor}, factorV[2] = {mask.scale, mask.scale};
  const int64_t at = firstKey + own * ldkv;
  storeRows<T, D>({a.gradients.dk + at, ldkv, width, a.aligned}, keys - own, dk, factorK,
                  keyRows + own * kStride<T, D>, a.gradients.accumulateKv);
  storeRows<T, D>({a.gradients.dv + at, ldkv, width, a.aligned}, keys - own, dv, factorV,
                  valueRows + own * kStride<T, D>, a.gradients.accumulateKv);
}

}  // namespace

template <typename T>
cudaError_t backwardKeys(const BackwardArgs<T>& args, int64_t tiles, cudaStream_t stream) {
  return withHeadWidth<T>(args.attention.headWidth, [&]<int D>() {
    static_assert(kSharedBytes<T, D> <= kMaxSharedBytes);
    return launch(backwardKeysKernel<T, D>, static_cast<unsigned>(tiles * args.attention.heads), kTileThreads,
                  kSharedBytes<T, D>, stream, args);
  });
}

template cudaError_t backwardKeys(const BackwardArgs<float>&, int64_t, cudaStream_t);
template cudaError_t backwardKeys(const BackwardArgs<BFloat16>&, int64_t, cudaStream_t);
template cudaError_t backwardKeys(const BackwardArgs<Half>&, int64_t, cudaStream_t);

}  // namespace relic::cuda
