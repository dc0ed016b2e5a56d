// Attention of single queries over one or two ranges of keys: a block a segment and head, its warps take turns at 32
// keys. A lane has a key for the scores and columns of the head for the sums.
#include <cmath>

#include "cuda/attention.h"
#include "cuda/attention_mask.h"
#include "cuda/attention_rows.h"
#include "cuda/attention_tile.h"
#include "relic/math.h"

namespace relic::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kBlocks = 3;                           // that share a multiprocessor
constexpr int kColumns = kMaxHeadWidth / kWarpSize;  // columns of a lane: lane, lane + 32, ..

template <typename T>
struct SingleArgs {
  AttentionArgs<T> attention;
  AttentionGradients<T> gradients;
  const Segment* segments;
  T* out;
  float* logSumExp;
  float factor;
  bool aligned;
};

// Both key ranges as one list.
struct Keys {
  int first, count, firstOfSecond, total;
  __device__ __forceinline__ explicit Keys(const Segment& s)
      : first(s.keyFrom),
        count(s.keyTo - s.keyFrom),
        firstOfSecond(s.key2From),
        total(s.keyTo - s.keyFrom + s.key2To - s.key2From) {}
  // A key beyond the last gives the last key's row, which may be read.
  __device__ __forceinline__ int64_t row(int key) const {
    key = min(key, total - 1);
    return key < count ? first + key : firstOfSecond + key - count;
  }
};

template <typename T>
__device__ __forceinline__ float dotRow(const T* row, const float* x, int width, bool aligned) {
  float sum = 0;
  for (int col = 0; col < width; col += kVector<T>) {
    float part[kVector<T>];
    readVector(part, row, col, width, aligned);
    RELIC_UNROLL
    for (int i = 0; i < kVector<T>; i++) sum += part[i] * x[col + i];
  }
  return sum;
}

// to[col] = the row's element, or 0 from `width` on; by the whole block, which then needs a barrier.
template <typename T>
__device__ __forceinline__ void stageRow(float (&to)[kMaxHeadWidth], const T* row, int width) {
  for (int col = static_cast<int>(threadIdx.x); col < kMaxHeadWidth; col += kThreads) {
    to[col] = col < width ? toFloat(row[col]) : 0.0f;
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads, kBlocks) singleForwardKernel(SingleArgs<T> a) {
  __shared__ float q[kMaxHeadWidth], sums[kWarps][kMaxHeadWidth], largestOf[kWarps], sumOf[kWarps];
  const int heads = a.attention.heads, width = a.attention.headWidth;
  const Segment segment = a.segments[blockIdx.x / static_cast<unsigned>(heads)];
  const int head = static_cast<int>(blockIdx.x % static_cast<unsigned>(heads)), column = head * width;
  const int thread = static_cast<int>(threadIdx.x), lane = laneOf(), warp = warpOf();
  const int64_t ldkv = a.attention.ldkv;
  const Keys keys(segment);
  for (int query = segment.queryFrom; query < segment.queryTo; query++) {
    stageRow(q, a.attention.q + query * a.attention.ldq + column, width);
    __syncthreads();
    const auto maskRow = static_cast<uint32_t>(query * heads + head);
    float largest = -INFINITY, sum = 0, out[kColumns] = {};
    for (int first = warp * kWarpSize; first < keys.total; first += kThreads) {
      const int key = first + lane;
      const T* row = a.attention.k + keys.row(key) * ldkv + column;
      const float s = key < keys.total ? a.factor * dotRow(row, q, width, a.aligned) : -INFINITY;
      const float next = fmaxf(largest, warpMax(s)), before = expf(largest - next);
      const float p = expf(s - next);
      largest = next;
      sum = sum * before + warpSum(p);
      const float kept = p * keepFactor(a.attention.dropout, maskRow, key);
      RELIC_UNROLL
      for (int i = 0; i < kColumns; i++) out[i] *= before;
      for (int j = 0; j < min(kWarpSize, keys.total - first); j++) {
        const float weight = __shfl_sync(kFullWarp, kept, j);
        const T* values = a.attention.v + keys.row(first + j) * ldkv + column;
        RELIC_UNROLL
        for (int i = 0; i < kColumns; i++) {
          const int col = lane + i * kWarpSize;
          if (col < width) out[i] += weight * toFloat(values[col]);
        }
      }
    }
    RELIC_UNROLL
    for (int i = 0; i < kColumns; i++) sums[warp][lane + i * kWarpSize] = out[i];
    if (lane == 0) {
      largestOf[warp] = largest;
      sumOf[warp] = sum;
    }
    __syncthreads();

    // A warp without keys has the largest score -infinity and so no weight.
    float all = -INFINITY, total = 0;
    for (int w = 0; w < kWarps; w++) all = fmaxf(all, largestOf[w]);
    for (int w = 0; w < kWarps; w++) total += sumOf[w] * expf(largestOf[w] - all);
    for (int col = thread; col < width; col += kThreads) {
      float x = 0;
      for (int w = 0; w < kWarps; w++) x += sums[w][col] * expf(largestOf[w] - all);
      a.out[static_cast<int64_t>(query) * heads * width + column + col] = fromFloat<T>(x / total);
    }
    if (thread == 0) a.logSumExp[static_cast<int64_t>(query) * heads + head] = all + logf(total);
    __syncthreads();
  }
}

template <typename T>
__device__ __forceinline__ void writeOrAdd(T& target, float x, bool accumulate) {
  target = fromFloat<T>(accumulate ? toFloat(target) + x : x);
}

template <typename T>
__global__ void __launch_bounds__(kThreads, kBlocks) singleBackwardKernel(SingleArgs<T> a) {
  __shared__ float q[kMaxHeadWidth], dout[kMaxHeadWidth], sums[kWarps][kMaxHeadWidth];
  const int heads = a.attention.heads, width = a.attention.headWidth;
  const Segment segment = a.segments[blockIdx.x / static_cast<unsigned>(heads)];
  const int head = static_cast<int>(blockIdx.x % static_cast<unsigned>(heads)), column = head * width;
  const int thread = static_cast<int>(threadIdx.x), lane = laneOf(), warp = warpOf();
  const int64_t ldkv = a.attention.ldkv;
  const Keys keys(segment);
  for (int query = segment.queryFrom; query < segment.queryTo; query++) {
    const int64_t outAt = static_cast<int64_t>(query) * heads * width + column;
    stageRow(q, a.attention.q + query * a.attention.ldq + column, width);
    stageRow(dout, a.gradients.dout + outAt, width);
    __syncthreads();
    float dot = 0;
    for (int col = lane; col < width; col += kWarpSize) dot += toFloat(a.gradients.out[outAt + col]) * dout[col];
    dot = warpSum(dot);
    const float offset = a.gradients.logSumExp[static_cast<int64_t>(query) * heads + head];
    const auto maskRow = static_cast<uint32_t>(query * heads + head);
    float dq[kColumns] = {};
    for (int first = warp * kWarpSize; first < keys.total; first += kThreads) {
      const int key = first + lane;
      const int64_t at = keys.row(key) * ldkv + column;
      const float p = expf(a.factor * dotRow(a.attention.k + at, q, width, a.aligned) - offset);
      const float keep = keepFactor(a.attention.dropout, maskRow, key);
      const float ds = p * (keep * dotRow(a.attention.v + at, dout, width, a.aligned) - dot) * a.factor;
      for (int j = 0; j < min(kWarpSize, keys.total - first); j++) {
        const float score = __shfl_sync(kFullWarp, ds, j), weight = __shfl_sync(kFullWarp, p * keep, j);
        const int64_t row = keys.row(first + j) * ldkv + column;
        RELIC_UNROLL
        for (int i = 0; i < kColumns; i++) {
          const int col = lane + i * kWarpSize;
          if (col >= width) continue;
          dq[i] += score * toFloat(a.attention.k[row + col]);
          if (!a.gradients.dk) continue;
          writeOrAdd(a.gradients.dk[row + col], score * q[col], a.gradients.accumulateKv);
          writeOrAdd(a.gradients.dv[row + col], weight * dout[col], a.gradients.accumulateKv);
        }
      }
    }
    RELIC_UNROLL
    for (int i = 0; i < kColumns; i++) sums[warp][lane + i * kWarpSize] = dq[i];
    __syncthreads();
    for (int col = thread; a.gradients.dq && col < width; col += kThreads) {
      float x = 0;
      for (int w = 0; w < kWarps; w++) x += sums[w][col];
      writeOrAdd(a.gradients.dq[query * a.attention.ldq + column + col], x, a.gradients.accumulateQ);
    }
    __syncthreads();
  }
}

template <typename T>
SingleArgs<T> singleArgs(const AttentionArgs<T>& args, const Segment* segments) {
  const float factor = static_cast<float>(1 / std::sqrt(static_cast<double>(args.headWidth)));
  return {args, {}, segments, nullptr, nullptr, factor, isAligned(args)};
}

}  // namespace

template <typename T>
cudaError_t attentionSingleForward(const AttentionArgs<T>& args, DeviceList<Segment> segments, T* out,
                                   float* logSumExp, cudaStream_t stream) {
  if (args.headWidth <= 0 || args.headWidth > kMaxHeadWidth) return cudaErrorInvalidValue;
  if (segments.count == 0) return cudaSuccess;
  SingleArgs<T> all = singleArgs(args, segments.items);
  all.out = out;
  all.logSumExp = logSumExp;
  return launch(singleForwardKernel<T>, static_cast<unsigned>(segments.count * args.heads), kThreads, 0, stream, all);
}

template <typename T>
cudaError_t attentionSingleBackward(const AttentionArgs<T>& args, const AttentionGradients<T>& gradients,
                                    DeviceList<Segment> segments, cudaStream_t stream) {
  if (args.headWidth <= 0 || args.headWidth > kMaxHeadWidth) return cudaErrorInvalidValue;
  if (segments.count == 0) return cudaSuccess;
  SingleArgs<T> all = singleArgs(args, segments.items);
  all.gradients = gradients;
  return launch(singleBackwardKernel<T>, static_cast<unsigned>(segments.count * args.heads), kThreads, 0, stream, all);
}

template cudaError_t attentionSingleForward(const AttentionArgs<float>&, DeviceList<Segment>, float*, float*,
                                            cudaStream_t);
template cudaError_t attentionSingleForward(const AttentionArgs<BFloat16>&, DeviceList<Segment>, BFloat16*, float*,
                                            cudaStream_t);
template cudaError_t attentionSingleForward(const AttentionArgs<Half>&, DeviceList<Segment>, Half*, float*,
                                            cudaStream_t);
template cudaError_t attentionSingleBackward(const AttentionArgs<float>&, const AttentionGradients<float>&,
                                             DeviceList<Segment>, cudaStream_t);
template cudaError_t attentionSingleBackward(const AttentionArgs<BFloat16>&, const AttentionGradients<BFloat16>&,
                                             DeviceList<Segment>, cudaStream_t);
template cudaError_t attentionSingleBackward(const AttentionArgs<Half>&, const AttentionGradients<Half>&,
                                             DeviceList<Segment>, cudaStream_t);

}  // namespace relic::cuda
