// Attention backward: the products of outputs and their gradients by row, then dq, then dk and dv.
#include "cuda/attention_backward.h"

#include <cmath>

#include "cuda/attention_rows.h"
#include "cuda/attention_tile.h"

namespace relic::cuda {
namespace {

constexpr int kDotLanes = 8;  // lanes that share a row

// dots[row][head] = out . dout of the tile's queries. A block a tile and head, like the kernels that follow.
template <typename T>
__global__ void __launch_bounds__(kTileThreads) rowDotsKernel(BackwardArgs<T> a) {
  const int heads = a.attention.heads, width = a.attention.headWidth;
  const AttentionTile tile = a.tiles[blockIdx.x / static_cast<unsigned>(heads)];
  const int head = static_cast<int>(blockIdx.x % static_cast<unsigned>(heads));
  const int queries = tile.queryTo - tile.queryFrom, lane = static_cast<int>(threadIdx.x) % kDotLanes;
  RELIC_NO_UNROLL
  for (int first = 0; first < kAttentionTileRows; first += kTileThreads / kDotLanes) {
    const int row = first + static_cast<int>(threadIdx.x) / kDotLanes;
    const int64_t at = static_cast<int64_t>(tile.queryFrom + row) * heads + head;
    float sum = 0;
    for (int col = lane * kVector<T>; row < queries && col < width; col += kDotLanes * kVector<T>) {
      float x[kVector<T>], y[kVector<T>];
      readVector(x, a.gradients.out + at * width, col, width, a.aligned);
      readVector(y, a.gradients.dout + at * width, col, width, a.aligned);
      RELIC_UNROLL
      for (int i = 0; i < kVector<T>; i++) sum += x[i] * y[i];
    }
    RELIC_UNROLL
    for (int lanes = kDotLanes / 2; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(kFullWarp, sum, lanes);
    if (lane == 0 && row < queries) a.dots[at] = sum;
  }
}

}  // namespace

template <typename T>
cudaError_t attentionBackward(const AttentionArgs<T>& args, const AttentionGradients<T>& gradients,
                              DeviceList<AttentionTile> queryTiles, DeviceList<AttentionTile> keyTiles, float* dots,
                              cudaStream_t stream) {
  const float factor = static_cast<float>(1 / std::sqrt(static_cast<double>(args.headWidth)));
  const void* const pointers[] = {gradients.out, gradients.dout, gradients.dq, gradients.dk, gradients.dv};
  bool aligned = isAligned(args);
  for (const void* pointer : pointers) aligned = aligned && reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
  BackwardArgs<T> all{args, gradients, maskKeys(args.dropout), queryTiles.items, dots, factor, aligned};
  if (queryTiles.count > 0) {
    const cudaError_t error = launch(rowDotsKernel<T>, static_cast<unsigned>(queryTiles.count * args.heads),
                                     kTileThreads, 0, stream, all);
    if (error != cudaSuccess) return error;
  }
  if (gradients.dq && queryTiles.count > 0) {
    const cudaError_t error = backwardQueries(all, queryTiles.count, stream);
    if (error != cudaSuccess) return error;
  }
  all.tiles = keyTiles.items;
  return gradients.dk && keyTiles.count > 0 ? backwardKeys(all, keyTiles.count, stream) : cudaSuccess;
}

template cudaError_t attentionBackward(const AttentionArgs<float>&, const AttentionGradients<float>&,
                                       DeviceList<AttentionTile>, DeviceList<AttentionTile>, float*, cudaStream_t);
template cudaError_t attentionBackward(const AttentionArgs<BFloat16>&, const AttentionGradients<BFloat16>&,
                                       DeviceList<AttentionTile>, DeviceList<AttentionTile>, float*, cudaStream_t);
template cudaError_t attentionBackward(const AttentionArgs<Half>&, const AttentionGradients<Half>&,
                                       DeviceList<AttentionTile>, DeviceList<AttentionTile>, float*, cudaStream_t);

}  // namespace relic::cuda
