// Attention over ragged rows on the GPU: softmax(q k^T / sqrt(headWidth)) v by head, with dropout of the probabilities.
// The scores are never stored (Dao, "FlashAttention-2", 2023); backward computes them again from the log-sum-exp.
//
// Masks are those of native/cpu/ops.h and src/random/philox.ts: row = queryRow * heads + head, column = the key's index
// in its segment, counted through both key ranges. Sums have a fixed order: equal inputs give equal bytes.
//
// T is float, BFloat16 or Half; scores, softmax and sums are float32. Head h has columns h * headWidth .. of q, k, v
// and their gradients, which start at their first column and have leading dimensions in elements. Rows of no segment
// are left alone. Any head width up to kMaxHeadWidth works: 32, 48, 64, 80, 96 and 128 waste nothing (float: 32, 64,
// 128). Copies are 16 bytes wide when pointers, leading dimensions and head width are multiples of 16 bytes, else slow.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/ops.h"
#include "cuda/dropout.h"
#include "cuda/device.h"

namespace relic::cuda {

constexpr int kMaxHeadWidth = 128;

// Query rows of a work item of forward and dq, key rows of one of dk and dv.
constexpr int kAttentionTileRows = 64;

// Some queries and some keys of a segment: at most kAttentionTileRows queries and all keys, or the other way round.
struct AttentionTile {
  int32_t queryFrom, queryTo;
  int32_t keyFrom, keyTo;
  int32_t segmentKey;  // first key of the segment: where the columns of its mask start
};

// Every (query, key) of a batch's segments is in exactly one tile of each list. The slowest tiles come first, so that
// none of them starts last.
struct AttentionWork {
  std::vector<AttentionTile> queryTiles, keyTiles;
};

// For segments with one key range each. No key row may be in two segments: the tiles of dk and dv own their rows.
AttentionWork attentionWork(const std::vector<Segment>& segments);

// A list in device memory.
template <typename Item>
struct DeviceList {
  const Item* items;
  int64_t count;
};

template <typename T>
struct AttentionArgs {
  int heads, headWidth;
  const T* q;  // (query rows, heads * headWidth; ldq)
  int64_t ldq;
  const T* k;  // (key rows, heads * headWidth; ldkv)
  const T* v;  // likewise
  int64_t ldkv;
  DeviceDropout dropout;
};

template <typename T>
struct AttentionGradients {
  const T* out;            // (query rows, heads * headWidth), what forward wrote
  const float* logSumExp;  // (query rows, heads), what forward wrote
  const T* dout;           // (query rows, heads * headWidth)
  T* dq;                   // like q; null when not wanted
  T* dk;                   // like k; null, with dv, when not wanted
  T* dv;                   // like v
  bool accumulateQ;        // whether dq is added to, else overwritten
  bool accumulateKv;
};

// out (query rows, heads * headWidth), logSumExp (query rows, heads).
template <typename T>
cudaError_t attentionForward(const AttentionArgs<T>& args, DeviceList<AttentionTile> queryTiles, T* out,
                             float* logSumExp, cudaStream_t stream);

// dots (query rows, heads) is scratch: the products of the rows of out and dout.
template <typename T>
cudaError_t attentionBackward(const AttentionArgs<T>& args, const AttentionGradients<T>& gradients,
                              DeviceList<AttentionTile> queryTiles, DeviceList<AttentionTile> keyTiles, float* dots,
                              cudaStream_t stream);

// The same for few queries a segment, each with one or two key ranges: a block a query and head.
template <typename T>
cudaError_t attentionSingleForward(const AttentionArgs<T>& args, DeviceList<Segment> segments, T* out,
                                   float* logSumExp, cudaStream_t stream);

// With more than one query a segment dk and dv would be written more than once: queryTo = queryFrom + 1.
template <typename T>
cudaError_t attentionSingleBackward(const AttentionArgs<T>& args, const AttentionGradients<T>& gradients,
                                    DeviceList<Segment> segments, cudaStream_t stream);

}  // namespace relic::cuda
