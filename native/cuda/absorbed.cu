// A block has some keys of one pair and all heads. What it sums over its keys goes to a part of its own, and the parts
// of a pair are joined in order: no sum depends on which block came first.
#include "cuda/absorbed.h"

#include <cmath>

#include "cuda/attention_mask.h"
#include "cuda/head_products.h"
#include "cuda/launch.h"

namespace relic::cuda {
namespace {

constexpr int kWarps = kThreads / kWarpSize;
// Keys of a block, fewer where the scores of all heads would not fit into shared memory.
constexpr int kMostKeys = 64;
// Rows and heads of a warp's products at a time.
constexpr int kRows = 4, kHeads = 4;

struct Args {
  AbsorbedOperands of;
  int64_t parts;
  int keysPerPart;
  int room;  // heads, in whole kHeads: the distance of two keys' scores
  float factor;
  const float *keyed, *pooled, *stats, *dy;
  const float* dpooled;
  Tensor dx;
  bool accumulateX;
  // Of every part: (heads, cols) sums, and in forward (heads) largest scores, sums of weights and kept masses.
  float *sums, *largest, *weights, *masses;
};

// The keys of a part of a pair.
struct Keys {
  int64_t pair;
  int first, count;
  Segment segment;

  __device__ __forceinline__ explicit Keys(const Args& a)
      : pair(blockIdx.x / a.parts), segment(a.of.segments.items[pair]) {
    const int total = segment.keyTo - segment.keyFrom + segment.key2To - segment.key2From;
    first = static_cast<int>(blockIdx.x % a.parts) * a.keysPerPart;
    count = max(0, min(a.keysPerPart, total - first));
  }
  // The row of the part's key i.
  __device__ __forceinline__ int64_t row(int i) const {
    const int key = first + i, own = segment.keyTo - segment.keyFrom;
    return key < own ? segment.keyFrom + key : segment.key2From + key - own;
  }
};

// out (keys, room) = x of the keys times features (heads, cols). By the whole block; a warp has four keys at a time.
__device__ __forceinline__ void score(const Args& a, const Keys& keys, const float* features, float* out) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const auto heads = static_cast<int>(a.of.heads), cols = static_cast<int>(a.of.cols);
  for (int first = warp * kRows; first < keys.count; first += kWarps * kRows) {
    int64_t row[kRows];
    RELIC_UNROLL
    for (int r = 0; r < kRows; r++) row[r] = keys.row(min(first + r, keys.count - 1)) * cols;
    for (int head = 0; head < heads; head += kHeads) {
      float sums[kRows][kHeads] = {};
      for (int col = 4 * lane; col < cols; col += 4 * kWarpSize) {
        const int n = min(4, cols - col);
        float x[kRows][4];
        RELIC_UNROLL
        for (int r = 0; r < kRows; r++) load4(a.of.x, row[r] + col, n, x[r]);
        RELIC_UNROLL
        for (int h = 0; h < kHeads; h++) {
          float feature[4];
          load4(readOnly(features), static_cast<int64_t>(min(head + h, heads - 1)) * cols + col, n, feature);
          RELIC_UNROLL
          for (int r = 0; r < kRows; r++) {
            RELIC_UNROLL
            for (int c = 0; c < 4; c++) sums[r][h] = fmaf(x[r][c], feature[c], sums[r][h]);
          }
        }
      }
      RELIC_UNROLL
      for (int r = 0; r < kRows; r++) {
        RELIC_UNROLL
        for (int h = 0; h < kHeads; h++) {
          const float sum = warpSum(sums[r][h]);
          if (lane == 0 && first + r < keys.count) out[(first + r) * a.room + head + h] = sum;
        }
      }
    }
  }
}

// out (heads, cols) = the sum over the keys of weights (keys, room) times x. By the whole block.
__device__ __forceinline__ void pool(const Args& a, const Keys& keys, const float* weights, float* out) {
  const auto heads = static_cast<int>(a.of.heads), cols = static_cast<int>(a.of.cols);
  const int across = (cols + 3) / 4;
  for (int item = static_cast<int>(threadIdx.x); item < a.room / kHeads * across; item += kThreads) {
    const int head = item / across * kHeads, col = item % across * 4, n = min(4, cols - col);
    float sums[kHeads][4] = {};
    for (int i = 0; i < keys.count; i++) {
      float x[4], weight[kHeads];
      load4(a.of.x, keys.row(i) * cols + col, n, x);
      load4(readOnly(weights), i * a.room + head, kHeads, weight);
      RELIC_UNROLL
      for (int h = 0; h < kHeads; h++) {
        RELIC_UNROLL
        for (int c = 0; c < 4; c++) sums[h][c] = fmaf(weight[h], x[c], sums[h][c]);
      }
    }
    RELIC_UNROLL
    for (int h = 0; h < kHeads; h++) {
      if (head + h < heads) {
        store4({out, Format::float32}, static_cast<int64_t>(head + h) * cols + col, n, sums[h]);
      }
    }
  }
}

__device__ __forceinline__ uint32_t maskRow(const Args& a, const Keys& keys, int head) {
  return static_cast<uint32_t>(keys.segment.queryFrom * a.of.heads + head);
}

// Scores are turned into weights relative to the largest of the part.
__global__ void __launch_bounds__(kThreads) absorbedForwardKernel(Args a) {
  auto* weights = sharedMemory<float>();
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const auto heads = static_cast<int>(a.of.heads);
  const Keys keys(a);
  score(a, keys, a.keyed + keys.pair * heads * a.of.cols, weights);
  __syncthreads();
  for (int head = warp; head < a.room; head += kWarps) {
    float largest = -INFINITY, sum = 0, mass = 0;
    for (int i = lane; i < keys.count; i += kWarpSize) largest = fmaxf(largest, a.factor * weights[i * a.room + head]);
    largest = warpMax(largest);
    for (int i = lane; i < keys.count; i += kWarpSize) {
      float& weight = weights[i * a.room + head];
      const float p = expf(a.factor * weight - largest);
      sum += p;
      weight = p * keepFactor(a.of.dropout, maskRow(a, keys, head), keys.first + i);
      mass += weight;
    }
    sum = warpSum(sum);
    mass = warpSum(mass);
    if (lane > 0 || head >= heads) continue;
    const int64_t at = static_cast<int64_t>(blockIdx.x) * heads + head;
    a.largest[at] = largest;
    a.weights[at] = sum;
    a.masses[at] = mass;
  }
  __syncthreads();
  pool(a, keys, weights, a.sums + static_cast<int64_t>(blockIdx.x) * heads * a.of.cols);
}

// A block a pair and head. A part without keys has the largest score -infinity and so no weight.
__global__ void __launch_bounds__(kThreads) joinForwardKernel(Args a, float* stats, float* pooled) {
  const int64_t heads = a.of.heads, pair = blockIdx.x / heads, head = blockIdx.x % heads, cols = a.of.cols;
  const int64_t first = pair * a.parts;
  float largest = -INFINITY, sum = 0, mass = 0;
  for (int64_t part = 0; part < a.parts; part++) largest = fmaxf(largest, a.largest[(first + part) * heads + head]);
  for (int64_t part = 0; part < a.parts; part++) {
    const int64_t at = (first + part) * heads + head;
    const float share = expf(a.largest[at] - largest);
    sum += share * a.weights[at];
    mass += share * a.masses[at];
  }
  for (int64_t col = threadIdx.x; col < cols; col += kThreads) {
    float total = 0;
    for (int64_t part = 0; part < a.parts; part++) {
      const int64_t at = (first + part) * heads + head;
      total = fmaf(expf(a.largest[at] - largest), a.sums[at * cols + col], total);
    }
    pooled[(pair * heads + head) * cols + col] = total / sum;
  }
  if (threadIdx.x > 0) return;
  stats[2 * pair * heads + head] = largest + logf(sum);
  stats[(2 * pair + 1) * heads + head] = mass / sum;
}

__global__ void __launch_bounds__(kThreads) absorbedBackwardKernel(Args a) {
  const auto heads = static_cast<int>(a.of.heads), cols = static_cast<int>(a.of.cols);
  const auto headWidth = static_cast<int>(a.of.width) / heads;
  auto* weights = sharedMemory<float>();            // (keys, room): p M of each key, at first its score
  float* gradients = weights + a.keysPerPart * a.room;  // of the scores
  float* toMass = gradients + a.keysPerPart * a.room;   // (room): the gradient of the kept mass
  float* dots = toMass + a.room;                    // (room): the sum over keys of p M dp
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const Keys keys(a);
  const float* keyed = a.keyed + keys.pair * heads * cols;
  const float* dpooled = a.dpooled + keys.pair * heads * cols;
  const float* stats = a.stats + 2 * keys.pair * heads;
  score(a, keys, keyed, weights);
  score(a, keys, dpooled, gradients);
  for (int head = warp; head < heads; head += kWarps) {
    float mass = 0, dot = 0;
    for (int c = lane; c < headWidth; c += kWarpSize) {
      const int at = head * headWidth + c;
      mass += a.dy[keys.pair * a.of.width + at] * a.of.valueBias[at];
    }
    const float* pooled = a.pooled + (keys.pair * heads + head) * cols;
    for (int c = lane; c < cols; c += kWarpSize) dot += pooled[c] * dpooled[head * cols + c];
    mass = warpSum(mass);
    dot = warpSum(dot);
    if (lane > 0) continue;
    toMass[head] = mass;
    dots[head] = dot + mass * stats[heads + head];
  }
  __syncthreads();
  for (int item = static_cast<int>(threadIdx.x); item < keys.count * a.room; item += kThreads) {
    const int head = item % a.room;
    // The room after the last head is summed with the others and thrown away.
    const bool is = head < heads;
    const float p = is ? expf(a.factor * weights[item] - stats[head]) : 0.0f;
    const float keep =
        is ? keepFactor(a.of.dropout, maskRow(a, keys, head), keys.first + item / a.room) : 0.0f;
    weights[item] = p * keep;
    gradients[item] = is ? p * (keep * (gradients[item] + toMass[head]) - dots[head]) * a.factor : 0.0f;
  }
  __syncthreads();
  pool(a, keys, gradients, a.sums + static_cast<int64_t>(blockIdx.x) * heads * cols);
  if (a.dx.data == nullptr) return;
  const int across = (cols + 3) / 4;
  for (int item = static_cast<int>(threadIdx.x); item < (keys.count + kRows - 1) / kRows * across; item += kThreads) {
    const int first = item / across * kRows, col = item % across * 4, n = min(4, cols - col);
    float sums[kRows][4] = {};
    for (int head = 0; head < heads; head++) {
      float toPooled[4], toScore[4];
      load4(readOnly(dpooled), static_cast<int64_t>(head) * cols + col, n, toPooled);
      load4(readOnly(keyed), static_cast<int64_t>(head) * cols + col, n, toScore);
      RELIC_UNROLL
      for (int r = 0; r < kRows; r++) {
        const int at = min(first + r, keys.count - 1) * a.room + head;
        RELIC_UNROLL
        for (int c = 0; c < 4; c++) {
          sums[r][c] = fmaf(weights[at], toPooled[c], fmaf(gradients[at], toScore[c], sums[r][c]));
        }
      }
    }
    RELIC_UNROLL
    for (int r = 0; r < kRows; r++) {
      if (first + r < keys.count) put4(a.dx, keys.row(first + r) * cols + col, n, sums[r], a.accumulateX);
    }
  }
}

// out (pairs, heads cols) = the sum over its parts; blockIdx.y is the pair's turn.
__global__ void __launch_bounds__(kThreads) joinBackwardKernel(int64_t pairs, Args a, float* out) {
  const int64_t width = a.of.heads * a.of.cols, stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < pairs * width; i += stride) {
    const int64_t pair = i / width, col = i % width;
    float total = 0;
    for (int64_t part = 0; part < a.parts; part++) total += a.sums[(pair * a.parts + part) * width + col];
    out[i] = total;
  }
}

// dbias (width) (+)= the sum over pairs of their masses times dy.
__global__ void __launch_bounds__(kThreads)
    biasGradientKernel(int64_t pairs, Args a, float* dbias, bool accumulate) {
  const int64_t col = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, width = a.of.width;
  if (col >= width) return;
  const int64_t head = col / (width / a.of.heads);
  float sum = accumulate ? dbias[col] : 0.0f;
  for (int64_t pair = 0; pair < pairs; pair++) {
    sum = fmaf(a.stats[(2 * pair + 1) * a.of.heads + head], a.dy[pair * width + col], sum);
  }
  dbias[col] = sum;
}

// Products with the weights of one projection, head by head.
class Heads {
 public:
  Heads(Context& context, const AbsorbedOperands& of)
      : context_(context), of_(of), width_(of.width / of.heads), ld_(of.heads * of.cols) {}

  // out (pairs, heads, cols) = rows (pairs, width) weights.
  Status expand(const float* rows, const float* weights, float* out) {
    return headProducts(context_, {of_.heads, pairs(), of_.cols, width_, {rows, width_, of_.width, 1},
                                   {weights, width_ * of_.cols, of_.cols, 1}, out, of_.cols, ld_, false, nullptr, 0,
                                   nullptr});
  }
  // out (pairs, width) (+)= features (pairs, heads, cols) weights^T + mass bias, where there is a bias.
  Status contract(const float* features, const float* weights, const float* stats, const float* bias,
                  const Gradient& out) {
    return headProducts(context_, {of_.heads, pairs(), width_, of_.cols, {features, of_.cols, ld_, 1},
                                   {weights, width_ * of_.cols, 1, of_.cols}, out.values, width_, of_.width,
                                   out.accumulate, stats == nullptr ? nullptr : stats + of_.heads, 2 * of_.heads,
                                   bias});
  }
  // dweights (+)= rows^T features.
  Status weightGradient(const float* rows, const float* features, const Gradient& dweights) {
    if (dweights.values == nullptr) return Status::success();
    return headProducts(context_, {of_.heads, width_, of_.cols, pairs(), {rows, width_, 1, of_.width},
                                   {features, of_.cols, ld_, 1}, dweights.values, width_ * of_.cols, of_.cols,
                                   dweights.accumulate, nullptr, 0, nullptr});
  }

 private:
  int64_t pairs() const { return of_.segments.count; }

  Context& context_;
  const AbsorbedOperands& of_;
  const int64_t width_, ld_;
};

// Shared memory: `copies` scores of every key and head, and some values of every head.
size_t sharedBytes(const Args& a, int copies, int extras) {
  return static_cast<size_t>((copies * a.keysPerPart + extras) * a.room) * sizeof(float);
}

// Divides the keys into parts and takes memory for their sums.
Status divide(Context& context, const AbsorbedOperands& of, int copies, int extras, Args* a) {
  a->of = of;
  a->factor = static_cast<float>(std::sqrt(static_cast<double>(of.heads) / static_cast<double>(of.width)));
  a->room = static_cast<int>(divideUp(of.heads, kHeads) * kHeads);
  a->keysPerPart = kMostKeys;
  while (a->keysPerPart > kRows && sharedBytes(*a, copies, extras) > kMaxSharedBytes) a->keysPerPart /= 2;
  a->parts = std::max<int64_t>(divideUp(of.longest, a->keysPerPart), 1);
  const int64_t all = of.segments.count * a->parts * of.heads;
  void* memory = nullptr;
  RELIC_TRY(context.scratch(Scratch::partials, static_cast<size_t>(all * (of.cols + 3)) * sizeof(float), &memory));
  a->sums = static_cast<float*>(memory);
  a->largest = a->sums + all * of.cols;
  a->weights = a->largest + all;
  a->masses = a->weights + all;
  return Status::success();
}

}  // namespace

Status absorbedForward(Context& context, const AbsorbedOperands& of, float* y, float* stats, float* keyed,
                       float* pooled) {
  Heads heads(context, of);
  RELIC_TRY(heads.expand(of.q, of.keyWeight, keyed));
  Args a{};
  RELIC_TRY(divide(context, of, 1, 0, &a));
  a.keyed = keyed;
  const int64_t pairs = of.segments.count;
  RELIC_CUDA_TRY(launch(absorbedForwardKernel, dim3(static_cast<unsigned>(pairs * a.parts)), dim3(kThreads),
                        sharedBytes(a, 1, 0), context.stream(), a));
  RELIC_LAUNCH(context, joinForwardKernel, dim3(static_cast<unsigned>(pairs * of.heads)), dim3(kThreads), a, stats,
               pooled);
  return heads.contract(pooled, of.valueWeight, stats, of.valueBias, {y, false});
}

Status absorbedBackward(Context& context, const AbsorbedOperands& of, const float* stats, const float* keyed,
                        const float* pooled, const float* dy, const AbsorbedOutputs& to) {
  Heads heads(context, of);
  RELIC_TRY(heads.expand(dy, of.valueWeight, to.dpooled));
  RELIC_TRY(heads.weightGradient(dy, pooled, to.dvalueWeight));
  constexpr int kCopies = 2, kExtras = 2;
  Args a{};
  RELIC_TRY(divide(context, of, kCopies, kExtras, &a));
  a.keyed = keyed;
  a.pooled = pooled;
  a.stats = stats;
  a.dy = dy;
  a.dpooled = to.dpooled;
  a.dx = to.dx;
  a.accumulateX = to.accumulateX;
  const int64_t pairs = of.segments.count;
  if (to.dvalueBias.values != nullptr) {
    RELIC_LAUNCH(context, biasGradientKernel, dim3(static_cast<unsigned>(divideUp(of.width, kThreads))), dim3(kThreads),
                 pairs, a, to.dvalueBias.values, to.dvalueBias.accumulate);
  }
  RELIC_CUDA_TRY(launch(absorbedBackwardKernel, dim3(static_cast<unsigned>(pairs * a.parts)), dim3(kThreads),
                        sharedBytes(a, kCopies, kExtras), context.stream(), a));
  RELIC_LAUNCH(context, joinBackwardKernel, gridFor(context, pairs * of.heads * of.cols), dim3(kThreads), pairs, a,
               to.dkeyed);
  if (to.dq.values != nullptr) RELIC_TRY(heads.contract(to.dkeyed, of.keyWeight, nullptr, nullptr, to.dq));
  return heads.weightGradient(of.q, to.dkeyed, to.dkeyWeight);
}

}  // namespace relic::cuda
