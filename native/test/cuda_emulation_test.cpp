// The CUDA emulator itself: what it computes is what the PTX ISA says, and what it must catch it catches.
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "check.h"
#include "cuda/device.h"

namespace relic::cuda {
namespace {

// --- Threads, barriers, shuffles -----------------------------------------------------------------

__global__ void reverseBlock(const int* in, int* out) {
  __shared__ int all[96];
  const int i = static_cast<int>(threadIdx.x + threadIdx.y * blockDim.x);
  const int base = static_cast<int>(blockIdx.x * 96);
  all[i] = in[base + i];
  __syncthreads();
  out[base + i] = all[95 - i];
}

__global__ void shuffles(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  int* row = out + lane * 8;
  row[0] = __shfl_xor_sync(kFullWarp, lane, 5);
  row[1] = __shfl_sync(kFullWarp, lane, 9);
  row[2] = __shfl_down_sync(kFullWarp, lane, 3);
  row[3] = __shfl_up_sync(kFullWarp, lane, 3);
  row[4] = __shfl_sync(kFullWarp, lane, 1, 4);
  row[5] = static_cast<int>(__ballot_sync(kFullWarp, lane % 3 == 0));
  row[6] = __any_sync(kFullWarp, lane == 31) * 2 + __all_sync(kFullWarp, lane < 31);
  row[7] = __shfl_xor_sync(kFullWarp, lane, 4, 8);
}

__global__ void count(int* sum) { atomicAdd(sum, 1); }

void testThreads(Checker& checker) {
  std::vector<int> in(288), out(288);
  for (size_t i = 0; i < in.size(); i++) in[i] = static_cast<int>(i * i);
  checker.isTrue("launch", launch(reverseBlock, 3, dim3(32, 3), 0, nullptr, in.data(), out.data()) == cudaSuccess);
  bool same = true;
  for (size_t i = 0; i < in.size(); i++) same = same && out[i] == in[i / 96 * 96 + 95 - i % 96];
  checker.isTrue("__syncthreads", same);

  std::vector<int> lanes(32 * 8);
  launch(shuffles, 1, 32, 0, nullptr, lanes.data());
  bool good = true;
  for (int lane = 0; lane < 32; lane++) {
    const int expected[8] = {lane ^ 5,
                             9,
                             lane + 3 < 32 ? lane + 3 : lane,
                             lane >= 3 ? lane - 3 : lane,
                             lane / 4 * 4 + 1,
                             0x49249249,
                             2,
                             lane ^ 4};
    for (int i = 0; i < 8; i++) good = good && lanes[static_cast<size_t>(lane * 8 + i)] == expected[i];
  }
  checker.isTrue("shuffles and votes", good);

  int sum = 0;
  launch(count, dim3(3, 2, 2), dim3(5, 4, 3), 0, nullptr, &sum);
  checker.isTrue("atomicAdd", sum == 12 * 60);
  checker.isTrue("no threads", launch(count, 1, 0, 0, nullptr, &sum) == cudaErrorInvalidConfiguration);
  checker.isTrue("too many threads", launch(count, 1, 1025, 0, nullptr, &sum) == cudaErrorInvalidConfiguration);
  checker.isTrue("no blocks", launch(count, 0, 32, 0, nullptr, &sum) == cudaErrorInvalidConfiguration);
  checker.isTrue("too much shared memory",
                 launch(count, 1, 32, kMaxSharedBytes + 1, nullptr, &sum) == cudaErrorInvalidConfiguration);
}

// --- 16-bit numbers ------------------------------------------------------------------------------

void testNumbers(Checker& checker) {
  const auto bf16 = [&](float x, uint16_t bits) {
    checker.isTrue("bfloat16 of " + std::to_string(x), BFloat16(x).bits == bits);
  };
  bf16(1.0f, 0x3f80);
  bf16(1.00390625f, 0x3f80);         // 1 + 2^-8, a tie: to even
  bf16(1.01171875f, 0x3f82);         // 1 + 3 2^-8, a tie: to even
  bf16(1.00390637f, 0x3f81);         // just above a tie
  bf16(-3.4028235e38f, 0xff80);      // rounds to infinity
  bf16(1e-40f, 0x0001);              // subnormal
  bf16(NAN, 0x7fff);
  const auto half = [&](float x, uint16_t bits) {
    checker.isTrue("half of " + std::to_string(x), Half(x).bits == bits);
  };
  half(1.0f, 0x3c00);
  half(1.00048828125f, 0x3c00);      // 1 + 2^-11, a tie: to even
  half(1.00146484375f, 0x3c02);      // 1 + 3 2^-11, a tie: to even
  half(65504.0f, 0x7bff);
  half(65519.99f, 0x7bff);
  half(65520.0f, 0x7c00);
  half(-0x1p-14f, 0x8400);           // smallest normal
  half(0x1.ff8p-15f, 0x03ff);        // largest subnormal
  half(0x1.ffcp-15f, 0x0400);        // a tie between it and the smallest normal: to even
  half(0x1p-25f, 0x0000);            // a tie with zero: to even
  half(0x1.8p-25f, 0x0001);
  half(NAN, 0x7fff);
  bool there = true, back = true;
  for (uint32_t bits = 0; bits < 0x10000; bits++) {
    const auto word = static_cast<uint16_t>(bits);
    const float x = emulation::halfValue(word), y = emulation::bfloat16Value(word);
    there = there && (x != x || Half(x).bits == bits);
    back = back && (y != y || BFloat16(y).bits == bits);
  }
  checker.isTrue("every half is its own rounding", there);
  checker.isTrue("every bfloat16 is its own rounding", back);
  checker.isTrue("packPair of half", packPair<Half>(1.0f, -2.0f) == 0xc0003c00u);
  checker.isTrue("packPair of bfloat16", packPair<BFloat16>(1.0f, -2.0f) == 0xc0003f80u);
}

// --- Matrices ------------------------------------------------------------------------------------

// Where the PTX ISA puts element i of a lane's fragments (section "Matrix Fragments for mma.m16n8k16").
int rowOfA(int lane, int i) { return lane / 4 + ((i >= 2 && i < 4) || i >= 6 ? 8 : 0); }
int colOfA(int lane, int i) { return lane % 4 * 2 + (i & 1) + (i >= 4 ? 8 : 0); }
int rowOfB(int lane, int i) { return lane % 4 * 2 + (i & 1) + (i >= 2 ? 8 : 0); }
int colOfB(int lane, int) { return lane / 4; }
int rowOfC(int lane, int i) { return lane / 4 + (i >= 2 ? 8 : 0); }
int colOfC(int lane, int i) { return lane % 4 * 2 + (i & 1); }

struct Matrices {
  float a[16][16], b[16][8], c[16][8];
};

template <typename T>
__global__ void multiplyByHand(const Matrices* in, float* out) {
  const int lane = static_cast<int>(threadIdx.x);
  uint32_t a[4], b[2];
  float c[4];
  const auto elementOfA = [&](int i) { return in->a[rowOfA(lane, i)][colOfA(lane, i)]; };
  const auto elementOfB = [&](int i) { return in->b[rowOfB(lane, i)][colOfB(lane, i)]; };
  for (int i = 0; i < 4; i++) {
    a[i] = packPair<T>(elementOfA(2 * i), elementOfA(2 * i + 1));
    c[i] = in->c[rowOfC(lane, i)][colOfC(lane, i)];
  }
  for (int i = 0; i < 2; i++) b[i] = packPair<T>(elementOfB(2 * i), elementOfB(2 * i + 1));
  multiplyMatrices<T>(c, a, b[0], b[1]);
  for (int i = 0; i < 4; i++) out[rowOfC(lane, i) * 8 + colOfC(lane, i)] = c[i];
}

// The same product with operands that come through shared memory: a by rows, b by rows or by columns.
template <typename T, bool Columns>
__global__ void multiplyFromShared(const Matrices* in, float* out) {
  T* a = sharedMemory<T>();
  T* b = a + 16 * 24;
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += kWarpSize) a[i / 16 * 24 + i % 16] = fromFloat<T>(in->a[i / 16][i % 16]);
  for (int i = lane; i < 128; i += kWarpSize) {
    b[Columns ? i % 8 * 24 + i / 8 : i / 8 * 8 + i % 8] = fromFloat<T>(in->b[i / 8][i % 8]);
  }
  __syncwarp();
  uint32_t left[4], right[2];
  loadMatrices<4, false>(left, a + lane % 16 * 24 + lane / 16 * 8);
  if constexpr (Columns) {
    loadMatrices<2, false>(right, b + lane % 8 * 24 + lane / 8 % 2 * 8);
  } else {
    loadMatrices<2, true>(right, b + lane % 16 * 8);
  }
  float c[4];
  for (int i = 0; i < 4; i++) c[i] = in->c[rowOfC(lane, i)][colOfC(lane, i)];
  multiplyMatrices<T>(c, left, right[0], right[1]);
  for (int i = 0; i < 4; i++) out[rowOfC(lane, i) * 8 + colOfC(lane, i)] = c[i];
}

// Fragments of the matrices 1000 m + 8 row + col, four of them.
template <int Count, bool Transposed>
__global__ void loadNumbered(uint32_t* out) {
  uint16_t* all = sharedMemory<uint16_t>();
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 64 * Count; i += kWarpSize) all[i] = static_cast<uint16_t>(1000 * (i / 64) + i % 64);
  __syncwarp();
  uint32_t fragment[Count];
  loadMatrices<Count, Transposed>(fragment, all + lane % (8 * Count) * 8);
  for (int m = 0; m < Count; m++) out[m * 32 + lane] = fragment[m];
}

template <int Count, bool Transposed>
void testLoad(Checker& checker) {
  std::vector<uint32_t> out(32 * Count);
  launch(loadNumbered<Count, Transposed>, 1, 32, 128 * Count, nullptr, out.data());
  bool good = true;
  for (uint32_t m = 0; m < Count; m++) {
    for (uint32_t lane = 0; lane < 32; lane++) {
      const uint32_t line = lane / 4, pair = lane % 4 * 2;
      const uint32_t low = 1000 * m + (Transposed ? pair * 8 + line : line * 8 + pair);
      const uint32_t high = low + (Transposed ? 8 : 1);
      good = good && out[m * 32 + lane] == (low | high << 16);
    }
  }
  checker.isTrue("ldmatrix" + dims({Count, Transposed}), good);
}

template <typename T>
void testProduct(Checker& checker, const std::string& name) {
  Matrices in;
  Random random(3);
  for (auto& row : in.a) {
    for (float& x : row) x = toFloat(fromFloat<T>(random.next(2)));
  }
  for (auto& row : in.b) {
    for (float& x : row) x = toFloat(fromFloat<T>(random.next(2)));
  }
  for (auto& row : in.c) {
    for (float& x : row) x = random.next(9);
  }
  std::vector<double> expected(128);
  for (size_t r = 0; r < 16; r++) {
    for (size_t c = 0; c < 8; c++) {
      expected[r * 8 + c] = in.c[r][c];
      for (size_t k = 0; k < 16; k++) expected[r * 8 + c] += static_cast<double>(in.a[r][k]) * in.b[k][c];
    }
  }
  std::vector<float> out(128, NAN);
  launch(multiplyByHand<T>, 1, 32, 0, nullptr, &in, out.data());
  checker.close("mma " + name, out, expected, 2e-5);
  out.assign(128, NAN);
  launch(multiplyFromShared<T, false>, 1, 32, 16 * 24 * 2 + 256, nullptr, &in, out.data());
  checker.close("mma of ldmatrix.trans " + name, out, expected, 2e-5);
  out.assign(128, NAN);
  launch(multiplyFromShared<T, true>, 1, 32, 2 * 16 * 24 * 2, nullptr, &in, out.data());
  checker.close("mma of ldmatrix " + name, out, expected, 2e-5);
}

// --- Asynchronous copies -------------------------------------------------------------------------

// Two groups; the second is waited for only when `all`.
__global__ void copyGroups(const float* in, float* out, bool all) {
  float* shared = sharedMemory<float>();
  const int i = static_cast<int>(threadIdx.x);
  cpAsync16(shared + 4 * i, in + 4 * i, i % 2 == 0);
  cpAsyncCommit();
  cpAsync16(shared + 128 + 4 * i, in + 128 + 4 * i, true);
  cpAsyncCommit();
  if (all) {
    cpAsyncWait<0>();
  } else {
    cpAsyncWait<1>();
  }
  __syncthreads();
  for (int j = i; j < 256; j += kWarpSize) out[blockIdx.x * 256 + static_cast<unsigned>(j)] = shared[j];
}

void testCopies(Checker& checker) {
  Random random(5);
  const std::vector<float> in = random.values(256);
  for (const bool all : {false, true}) {
    std::vector<float> out(512);
    launch(copyGroups, 2, 32, 1024, nullptr, in.data(), out.data(), all);
    bool first = true, second = true;
    for (size_t i = 0; i < 128; i++) {
      first = first && out[i] == (i / 4 % 2 == 0 ? in[i] : 0.0f) && out[256 + i] == out[i];
      second = second && (all ? out[128 + i] == in[128 + i] : std::isnan(out[128 + i])) && out[384 + i] == in[128 + i];
    }
    checker.isTrue(std::string("cp.async, waited for") + (all ? " both" : " the first"), first);
    checker.isTrue(std::string("cp.async, the second when waited for") + (all ? " both" : " the first"), second);
  }
}

// --- What must be caught -------------------------------------------------------------------------

enum class Fault { none, beyond, before, ended, places, lanes, misaligned, unallocated };

__global__ void faulty(Fault fault, float* global) {
  float* shared = sharedMemory<float>();
  const int i = static_cast<int>(threadIdx.x);
  if (fault == Fault::beyond && i == 7) shared[64] = 1;
  if (fault == Fault::before && i == 7) shared[-1] = 1;
  if (fault == Fault::ended && i == 7) return;
  if (fault == Fault::lanes && i < 16) __shfl_xor_sync(kFullWarp, i, 1);
  if (fault == Fault::misaligned) cpAsync16(shared + i, global, true);
  if (fault == Fault::unallocated) global[16] = 1;
  if (fault == Fault::places && i == 7) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

// What `body` prints on stderr before it dies; empty when it survives.
std::string lastWords(const std::function<void()>& body) {
  int pipes[2];
  if (pipe(pipes) != 0) return "";
  const pid_t child = fork();
  if (child == 0) {
    dup2(pipes[1], STDERR_FILENO);
    close(pipes[0]);
    body();
    _exit(0);
  }
  close(pipes[1]);
  std::string text;
  char part[256];
  for (ssize_t n; (n = read(pipes[0], part, sizeof(part))) > 0;) text.append(part, static_cast<size_t>(n));
  close(pipes[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "" : text;
}

void testFaults(Checker& checker) {
  const auto words = [](Fault fault) {
    return lastWords([fault] {
      float* global = nullptr;
      cudaMalloc(&global, 64);
      launch(faulty, 3, 64, 256, nullptr, fault, global);
    });
  };
  const auto caught = [&](const std::string& name, Fault fault, const std::string& expected) {
    const std::string text = words(fault);
    checker.isTrue(name + ": " + text, text.find(expected) != std::string::npos);
  };
  checker.isTrue("a kernel without fault survives", words(Fault::none).empty());
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  caught("a write beyond shared memory", Fault::beyond, "out of bounds; block (0, 0, 0), thread (7, 0, 0)");
  caught("a write beyond an allocation", Fault::unallocated, "out of bounds; block (0, 0, 0), thread (0, 0, 0)");
#endif
  caught("a write before shared memory", Fault::before, "before the dynamic shared memory was written; block (0");
  caught("a thread that ended", Fault::ended, "but thread (7, 0, 0) has ended; block (0, 0, 0)");
  caught("two places of a barrier", Fault::places, "divergent barrier: thread (0, 0, 0) waits at");
  caught("half a warp", Fault::lanes, "divergent barrier: thread (0, 0, 0) waits at");
  caught("a misaligned copy", Fault::misaligned, "not a multiple of 16; block (0, 0, 0), thread (1, 0, 0)");
}

__global__ void readUnwritten(float* out) { out[threadIdx.x] = sharedMemory<float>()[threadIdx.x]; }

}  // namespace
}  // namespace relic::cuda

int main() {
  using namespace relic::cuda;
  relic::Checker checker;
  testThreads(checker);
  testNumbers(checker);
  testLoad<1, false>(checker);
  testLoad<1, true>(checker);
  testLoad<2, false>(checker);
  testLoad<2, true>(checker);
  testLoad<4, false>(checker);
  testLoad<4, true>(checker);
  testProduct<BFloat16>(checker, "bfloat16");
  testProduct<Half>(checker, "half");
  testCopies(checker);
  float unwritten = 0;
  launch(readUnwritten, 1, 1, 16, nullptr, &unwritten);
  checker.isTrue("unwritten shared memory is NaN", std::isnan(unwritten));
  testFaults(checker);
  return checker.finish();
}
