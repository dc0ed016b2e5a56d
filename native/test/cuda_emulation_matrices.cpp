// The matrix instructions of cuda_emulation.h. Layouts: PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point
// type" and "ldmatrix".
#include "cuda_emulation.h"

namespace relic::emulation {
namespace {

struct MatrixLoad {
  const void* row;
  int32_t count, transposed;
};

void loadMatricesOfWarp(Lane* lanes, int) {
  MatrixLoad load;
  uint16_t elements[4][8][8];
  for (int i = 0; i < 32; i++) {
    std::memcpy(&load, lanes[i].data, sizeof(load));
    if (i >= 8 * load.count) break;
    std::memcpy(elements[i / 8][i % 8], load.row, 16);
  }
  for (int lane = 0; lane < 32; lane++) {
    for (int m = 0; m < load.count; m++) {
      const int line = lane / 4, pair = 2 * (lane % 4);
      const uint32_t low = load.transposed ? elements[m][pair][line] : elements[m][line][pair];
      const uint32_t high = load.transposed ? elements[m][pair + 1][line] : elements[m][line][pair + 1];
      const uint32_t both = low | high << 16;
      std::memcpy(lanes[lane].data + 4 * m, &both, 4);
    }
  }
}

struct MatrixProduct {
  float d[4];
  uint32_t a[4], b[2];
  int32_t half;
};

float element(uint32_t pair, int upper, bool half) {
  const auto bits = static_cast<uint16_t>(upper ? pair >> 16 : pair);
  return half ? halfValue(bits) : bfloat16Value(bits);
}

void multiplyMatricesOfWarp(Lane* lanes, int) {
  float a[16][16], b[16][8];
  MatrixProduct product;
  for (int lane = 0; lane < 32; lane++) {
    std::memcpy(&product, lanes[lane].data, sizeof(product));
    const int group = lane / 4, pair = 2 * (lane % 4);
    for (int i = 0; i < 8; i++) {
      const int row = group + (i / 2 % 2 == 1 ? 8 : 0), col = pair + i % 2 + (i >= 4 ? 8 : 0);
      a[row][col] = element(product.a[i / 2], i % 2, product.half != 0);
    }
    for (int i = 0; i < 4; i++) {
      b[pair + i % 2 + (i >= 2 ? 8 : 0)][group] = element(product.b[i / 2], i % 2, product.half != 0);
    }
  }
  for (int lane = 0; lane < 32; lane++) {
    float d[4];
    std::memcpy(d, lanes[lane].data, sizeof(d));
    for (int i = 0; i < 4; i++) {
      const int row = lane / 4 + (i >= 2 ? 8 : 0), col = 2 * (lane % 4) + i % 2;
      for (int k = 0; k < 16; k++) d[i] += a[row][k] * b[k][col];
    }
    std::memcpy(lanes[lane].data, d, sizeof(d));
  }
}

void requireWholeWarp() {
  if (laneCount() != 32) fail("a matrix instruction in a part of a warp");
}

}  // namespace

void loadMatrices(uint32_t* fragment, int count, bool transposed, const void* row, const Place& place) {
  requireWholeWarp();
  if (laneIndex() < 8 * count && reinterpret_cast<uintptr_t>(row) % 16 != 0) {
    fail("an address of ldmatrix is not a multiple of 16");
  }
  const MatrixLoad load{row, count, transposed};
  const Lane* lanes = meetInWarp(0xffffffffu, &load, sizeof(load), loadMatricesOfWarp, place);
  std::memcpy(fragment, lanes[laneIndex()].data, 4 * static_cast<size_t>(count));
}

void multiplyMatrices(float* d, const uint32_t* a, uint32_t b0, uint32_t b1, bool half, const Place& place) {
  requireWholeWarp();
  const MatrixProduct product{{d[0], d[1], d[2], d[3]}, {a[0], a[1], a[2], a[3]}, {b0, b1}, half};
  const Lane* lanes = meetInWarp(0xffffffffu, &product, sizeof(product), multiplyMatricesOfWarp, place);
  std::memcpy(d, lanes[laneIndex()].data, 4 * sizeof(float));
}

}  // namespace relic::emulation
