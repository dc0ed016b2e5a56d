// What the tiled attention kernels are made of: tiles in shared memory and products of 16 rows at a time.
//
// A warp owns 16 rows of a tile (queries, or keys in the backward of keys). Its sums have multiplyMatrices' layout:
// with g = lane / 4 and t = lane % 4, element i of column block n is row g + 8 (i / 2), column 8 n + 2 t + i % 2.
// 16-bit types multiply on the matrix units; float keeps to the same layout with plain sums, for parity.
#pragma once

#include <type_traits>

#include "cuda/attention.h"
#include "cuda/attention_rows.h"
#include "cuda/device.h"

namespace relic::cuda {

constexpr int kChunk = 16;  // rows of one product
constexpr int kTileWarps = kAttentionTileRows / kChunk;
constexpr int kTileThreads = kTileWarps * kWarpSize;
constexpr float kLog2E = 1.44269504f;

// The distance of two rows in shared memory, of head width D. The padding spreads the rows that ldmatrix reads together
// over all banks; float tiles of 128 columns have no room for it.
template <typename T, int D>
constexpr int kStride = D + (sizeof(T) == 2 || D < 128 ? kVector<T> : 0);

// Rows of the other operand that are loaded at a time.
template <typename T, int D>
constexpr int kForwardRows = sizeof(T) == 2 ? 64 : (D < 128 ? 32 : 16);
template <typename T, int D>
constexpr int kBackwardRows = sizeof(T) == 2 || D < 128 ? 32 : 16;

// Blocks of a kernel that share a multiprocessor: what its registers are limited for.
template <typename T, int D>
constexpr int kForwardBlocks = sizeof(T) == 4 ? 2 : (D <= 32 ? 4 : (D <= 80 ? 3 : 2));
template <typename T, int D>
constexpr int kBackwardQueriesBlocks = sizeof(T) == 4 ? 2 : (D <= 48 ? 4 : (D <= 96 ? 3 : 2));
template <typename T, int D>
constexpr int kBackwardKeysBlocks = sizeof(T) == 4 ? 2 : (D <= 32 ? 4 : (D <= 48 ? 3 : 2));

__device__ __forceinline__ int laneOf() { return static_cast<int>(threadIdx.x) % kWarpSize; }
__device__ __forceinline__ int warpOf() { return static_cast<int>(threadIdx.x) / kWarpSize; }

// --- Global memory -------------------------------------------------------------------------------

// Copies the rows of one head to shared memory, `Rows` at a time, by all threads of the block.
template <typename T, int D, int Rows>
class RowLoader {
 public:
  // `first` is row 0 at the head's first column; `aligned`: all rows start at multiples of 16 bytes and have a multiple
  // of 16 bytes.
  __device__ __forceinline__ RowLoader(const T* first, int64_t ld, int width, bool aligned)
      : next_(first), ld_(ld), width_(width), aligned_(aligned) {}

  // Starts to copy the next rows, of which `rows` exist, to `to` (Rows, kStride). Missing rows and columns are cleared.
  // Without alignment the copy is complete when the block's next barrier is passed.
  __device__ __forceinline__ void load(T* to, int rows) {
    const int thread = static_cast<int>(threadIdx.x);
    if (aligned_) {
      // A thread keeps its columns and goes down the rows, so that addresses cost next to nothing.
      const int row = thread / kVectors, col = thread % kVectors * kVector<T>;
      const int there = col < width_ ? rows : 0;
      const T* from = next_ + row * ld_ + col;
      to += row * kStride<T, D> + col;
      RELIC_UNROLL
      for (int first = 0; first < Rows; first += kStep) {
        const bool inTile = first + kStep <= Rows || row < Rows - first;
        if (row < kStep && inTile) cpAsync16(to + first * kStride<T, D>, from, first + row < there);
        from += kStep * ld_;
      }
    } else {
      RELIC_NO_UNROLL
      for (int i = thread; i < Rows * D; i += kTileThreads) {
        const int row = i / D, col = i % D;
        const bool there = row < rows && col < width_;
        to[row * kStride<T, D> + col] = there ? next_[row * ld_ + col] : fromFloat<T>(0.0f);
      }
    }
    next_ += Rows * ld_;
  }

 private:
  static constexpr int kVectors = D / kVector<T>;          // of a row
  static constexpr int kStep = kTileThreads / kVectors;  // rows of one copy by all threads

  const T* next_;
  int64_t ld_;
  int width_;
  bool aligned_;
};

// --- Products ------------------------------------------------------------------------------------

// The fragment of columns 16 k .. of 16 rows in shared memory.
template <typename T, int D>
__device__ __forceinline__ void loadFragment(uint32_t (&fragment)[4], const T* rows, int k) {
  const int lane = laneOf();
  loadMatrices<4, false>(fragment, rows + lane % 16 * kStride<T, D> + 16 * k + lane / 16 * 8);
}

// The left operand of a warp: 16 rows of D columns in shared memory.
template <typename T, int D>
struct SharedRows {
  const T* rows;
  __device__ __forceinline__ void load(const T* from) { rows = from; }
  __device__ __forceinline__ void fragment(uint32_t (&to)[4], int k) const { loadFragment<T, D>(to, rows, k); }
};

// The same in registers.
template <typename T, int D>
struct HeldRows {
  uint32_t fragments[D / 16][4];
  __device__ __forceinline__ void load(const T* from) {
    RELIC_UNROLL
    for (int k = 0; k < D / 16; k++) loadFragment<T, D>(fragments[k], from, k);
  }
  __device__ __forceinline__ void fragment(uint32_t (&to)[4], int k) const {
    RELIC_UNROLL
    for (int i = 0; i < 4; i++) to[i] = fragments[k][i];
  }
};
// Float rows are not held: their products read single elements.
template <typename T, int D, bool Held>
using WarpRows = std::conditional_t<Held && sizeof(T) == 2, HeldRows<T, D>, SharedRows<T, D>>;

// s (16, 16) = rows (16, D) times the transposed 16 rows at `others`, in shared memory.
template <typename T, int D, typename Rows>
__device__ __forceinline__ void multiplyTransposed(float (&s)[2][4], const Rows& rows, const T* others) {
  const int lane = laneOf();
  RELIC_UNROLL
  for (int n = 0; n < 2; n++) {
    RELIC_UNROLL
    for (int i = 0; i < 4; i++) s[n][i] = 0;
  }
  if constexpr (sizeof(T) == 2) {
    RELIC_UNROLL
    for (int k = 0; k < D / 16; k++) {
      // Others 0..7 with both halves of the 16 columns, then others 8..15.
      uint32_t a[4], b[4];
      rows.fragment(a, k);
      loadMatrices<4, false>(b, others + (lane / 16 * 8 + lane % 8) * kStride<T, D> + 16 * k + lane / 8 % 2 * 8);
      multiplyMatrices<T>(s[0], a, b[0], b[1]);
      multiplyMatrices<T>(s[1], a, b[2], b[3]);
    }
  } else {
    const float* left = rows.rows + lane / 4 * kStride<T, D>;
    const float* right = others + lane % 4 * 2 * kStride<T, D>;
    RELIC_NO_UNROLL
    for (int k = 0; k < D; k += 4) {
      const auto at = [&](const float* row) { return *reinterpret_cast<const float4*>(row + k); };
      const float4 a[2] = {at(left), at(left + 8 * kStride<T, D>)};
      RELIC_UNROLL
      for (int i = 0; i < 4; i++) {
        const float4 b = at(right + (i / 2 * 8 + i % 2) * kStride<T, D>);
        RELIC_UNROLL
        for (int half = 0; half < 2; half++) {
          float& sum = s[i / 2][2 * half + i % 2];
          sum = fmaf(a[half].x, b.x, fmaf(a[half].y, b.y, fmaf(a[half].z, b.z, fmaf(a[half].w, b.w, sum))));
        }
      }
    }
  }
}

// sum (16, D) += p (16, 16) times the 16 rows at `others`, in shared memory.
template <typename T, int D>
__device__ __forceinline__ void multiplyAdd(float (&sum)[D / 8][4], const float (&p)[2][4], const T* others) {
  const int lane = laneOf();
  if constexpr (sizeof(T) == 2) {
    const uint32_t a[4] = {packPair<T>(p[0][0], p[0][1]), packPair<T>(p[0][2], p[0][3]), packPair<T>(p[1][0], p[1][1]),
                           packPair<T>(p[1][2], p[1][3])};
    RELIC_UNROLL
    for (int n = 0; n < D / 8; n += 2) {
      // Both halves of the others with columns 8 n .., then with the next eight columns.
      uint32_t b[4];
      loadMatrices<4, true>(b, others + lane % 16 * kStride<T, D> + 8 * n + lane / 16 * 8);
      multiplyMatrices<T>(sum[n], a, b[0], b[1]);
      multiplyMatrices<T>(sum[n + 1], a, b[2], b[3]);
    }
  } else {
    RELIC_UNROLL
    for (int k = 0; k < kChunk; k++) {
      // Column k of p lies with one lane of the quad.
      const int owner = lane / 4 * 4 + k % 8 / 2;
      const float upper = __shfl_sync(kFullWarp, p[k / 8][k % 2], owner);
      const float lower = __shfl_sync(kFullWarp, p[k / 8][2 + k % 2], owner);
      const float* row = others + k * kStride<T, D> + lane % 4 * 2;
      RELIC_UNROLL
      for (int n = 0; n < D / 8; n++) {
        sum[n][0] += upper * row[8 * n];
        sum[n][1] += upper * row[8 * n + 1];
        sum[n][2] += lower * row[8 * n];
        sum[n][3] += lower * row[8 * n + 1];
      }
    }
  }
}

// --- Results -------------------------------------------------------------------------------------

// Where rows of one head go in global memory.
template <typename T>
struct HeadRows {
  T* first;  // row 0, first column of the head
  int64_t ld;
  int width;     // columns, at most D
  bool aligned;  // as for RowLoader
};

// Writes or adds the warp's `sum` times `factor` to the first `rows` rows of `to`, by way of `room` (16, kStride) in
// shared memory, which only this warp uses.
template <typename T, int D>
__device__ __forceinline__ void storeRows(const HeadRows<T>& to, int rows, const float (&sum)[D / 8][4],
                                          const float (&factor)[2], T* room, bool accumulate) {
  const int lane = laneOf();
  RELIC_UNROLL
  for (int n = 0; n < D / 8; n++) {
    RELIC_UNROLL
    for (int half = 0; half < 2; half++) {
      T* at = room + (lane / 4 + 8 * half) * kStride<T, D> + 8 * n + lane % 4 * 2;
      const float x = sum[n][2 * half] * factor[half], y = sum[n][2 * half + 1] * factor[half];
      if constexpr (sizeof(T) == 2) {
        *reinterpret_cast<uint32_t*>(at) = packPair<T>(x, y);
      } else {
        *reinterpret_cast<float2*>(at) = make_float2(x, y);
      }
    }
  }
  __syncwarp();
  if (to.aligned && !accumulate) {
    constexpr int kVectors = D / kVector<T>;
    for (int i = lane; i < kChunk * kVectors; i += kWarpSize) {
      const int row = i / kVectors, col = i % kVectors * kVector<T>;
      if (row >= rows || col >= to.width) continue;
      const uint4* from = reinterpret_cast<const uint4*>(room + row * kStride<T, D> + col);
      *reinterpret_cast<uint4*>(to.first + row * to.ld + col) = *from;
    }
  } else {
    for (int i = lane; i < kChunk * D; i += kWarpSize) {
      const int row = i / D, col = i % D;
      if (row >= rows || col >= to.width) continue;
      T& target = to.first[row * to.ld + col];
      const float value = toFloat(room[row * kStride<T, D> + col]);
      target = fromFloat<T>(accumulate ? toFloat(target) + value : value);
    }
  }
}

// --- Launches ------------------------------------------------------------------------------------

template <typename T>
bool isAligned(const AttentionArgs<T>& args) {
  const auto whole = [](int64_t elements) { return elements * static_cast<int64_t>(sizeof(T)) % 16 == 0; };
  const auto at16 = [](const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; };
  return whole(args.headWidth) && whole(args.ldq) && whole(args.ldkv) && at16(args.q) && at16(args.k) && at16(args.v);
}

// Calls launchOf.template operator()<D>() with the narrowest compiled width of T that holds a head.
template <typename T, typename Launch>
cudaError_t withHeadWidth(int headWidth, Launch&& launchOf) {
  if (headWidth <= 0 || headWidth > kMaxHeadWidth) return cudaErrorInvalidValue;
  if (headWidth <= 32) return launchOf.template operator()<32>();
  if constexpr (sizeof(T) == 2) {
    if (headWidth <= 48) return launchOf.template operator()<48>();
  }
  if (headWidth <= 64) return launchOf.template operator()<64>();
  if constexpr (sizeof(T) == 2) {
    if (headWidth <= 80) return launchOf.template operator()<80>();
    if (headWidth <= 96) return launchOf.template operator()<96>();
  }
  return launchOf.template operator()<128>();
}

}  // namespace relic::cuda
