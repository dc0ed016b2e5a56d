// GFLOP/s of the linear layers of V3 on every kernel set, beside OpenBLAS when it can be opened (RELIC_BLAS names
// another library). Usage: bench_gemm [threads] [rounds] [isa]. Times of one shape alternate; medians are printed.
#include <dlfcn.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "isa.h"
#include "kernels/kernels.h"
#include "ops.h"
#include "pool.h"

namespace relic {
namespace {

enum CblasTranspose { kNo = 111, kYes = 112 };
using Sgemm = void (*)(int order, int transA, int transB, int m, int n, int k, float alpha, const float* a, int lda,
                       const float* b, int ldb, float beta, float* c, int ldc);

Sgemm openBlas(int threads) {
  const char* named = std::getenv("RELIC_BLAS");
  void* library = dlopen(named ? named : "libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (!library) return nullptr;
  using SetThreads = void (*)(int);
  if (const auto set = reinterpret_cast<SetThreads>(dlsym(library, "openblas_set_num_threads"))) set(threads);
  return reinterpret_cast<Sgemm>(dlsym(library, "cblas_sgemm"));
}

struct Shape {
  const char* name;
  int rows, out, in;
};

constexpr Shape kShapes[] = {
    {"tiny ffn", 64, 128, 32},       {"tiny qkv", 64, 96, 32},       {"tiny wide", 64, 128, 128},
    {"seed input", 1024, 384, 1536}, {"seed qkv", 1024, 1152, 384},  {"seed out", 1024, 384, 384},
    {"seed ffn1", 1024, 1536, 384},  {"seed ffn2", 1024, 384, 1536}, {"seed head", 16, 1536, 384},
    {"logged qkv", 2048, 1536, 512}, {"logged ffn1", 2048, 2048, 512}, {"logged ffn2", 2048, 512, 2048},
    {"mid qkv", 4096, 1152, 384},    {"mid ffn1", 4096, 1536, 384},  {"prod qkv", 2048, 1920, 640},
    {"prod out", 2048, 640, 640},    {"prod ffn1", 2048, 2560, 640}, {"prod ffn2", 2048, 640, 2560},
};

// One thread is timed by its own clock, which other programs on the machine disturb less.
double seconds(bool ownClock) {
  timespec now;
  clock_gettime(ownClock ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// GFLOP/s of one call of about 2 * products operations, over at least 15 ms.
double rate(double products, bool ownClock, const std::function<void()>& call) {
  // The other library's threads go on spinning for some 100 ms and would take their core from ours.
  if (!ownClock) std::this_thread::sleep_for(std::chrono::milliseconds(150));
  call();
  const double start = seconds(ownClock);
  int calls = 0;
  double spent = 0;
  while (spent < 0.015) {
    call();
    calls++;
    spent = seconds(ownClock) - start;
  }
  return 2e-9 * products * calls / spent;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// A kernel set, and its products of bfloat16 factors or null for its own.
using Set = std::pair<const Kernels*, const ProductKernels*>;

void run(const Shape& s, Pool& pool, const std::vector<Set>& sets, Sgemm sgemm, int rounds) {
  const size_t rows = static_cast<size_t>(s.rows), out = static_cast<size_t>(s.out), in = static_cast<size_t>(s.in);
  std::vector<float> x(rows * in, 0.5f), w(out * in, 0.25f), y(rows * out, 0.125f);
  const char* forms[] = {"y", "dx", "dw"};
  for (int form = 0; form < 3; form++) {
    std::vector<std::vector<double>> rates(sets.size() + 1);
    for (int round = 0; round < rounds; round++) {
      for (size_t i = 0; i < sets.size(); i++) {
        Context context = sets[i].second ? Context{pool, *sets[i].first, *sets[i].second} : Context{pool, *sets[i].first};
        rates[i].push_back(rate(static_cast<double>(rows * out * in), pool.threads() == 1, [&] {
          if (form == 0) linearForward(context, s.rows, s.out, s.in, x.data(), w.data(), nullptr, y.data());
          if (form == 1) linearBackwardInput(context, s.rows, s.out, s.in, y.data(), w.data(), x.data(), false);
          if (form == 2) linearBackwardWeight(context, s.rows, s.out, s.in, y.data(), x.data(), w.data(), false);
        }));
      }
      if (!sgemm) continue;
      rates[sets.size()].push_back(rate(static_cast<double>(rows * out * in), pool.threads() == 1, [&] {
        constexpr int kRowMajor = 101;
        if (form == 0) {
          sgemm(kRowMajor, kNo, kYes, s.rows, s.out, s.in, 1, x.data(), s.in, w.data(), s.in, 0, y.data(), s.out);
        } else if (form == 1) {
          sgemm(kRowMajor, kNo, kNo, s.rows, s.in, s.out, 1, y.data(), s.out, w.data(), s.in, 0, x.data(), s.in);
        } else {
          sgemm(kRowMajor, kYes, kNo, s.out, s.in, s.rows, 1, y.data(), s.out, x.data(), s.in, 0, w.data(), s.in);
        }
      }));
    }
    std::printf("%-11s %-2s %5d %5d %5d", s.name, forms[form], s.rows, s.out, s.in);
    for (size_t i = 0; i < sets.size(); i++) std::printf(" %9.1f", median(rates[i]));
    if (sgemm) {
      std::vector<double> ratios;
      for (size_t i = 0; i < rates[0].size(); i++) ratios.push_back(rates[0][i] / rates[sets.size()][i]);
      std::printf(" %9.1f %6.2f", median(rates[sets.size()]), median(ratios));
    }
    std::printf("\n");
    // Values must stay finite and normal whatever the products made of them.
    std::fill(x.begin(), x.end(), 0.5f);
    std::fill(w.begin(), w.end(), 0.25f);
    std::fill(y.begin(), y.end(), 0.125f);
  }
}

}  // namespace
}  // namespace relic

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1, rounds = argc > 2 ? std::atoi(argv[2]) : 5;
  std::vector<relic::Set> sets;
  for (const char* name : relic::availableIsas()) {
    if (argc > 3 && std::strcmp(argv[3], name) != 0) continue;
    const relic::Kernels* kernels = relic::kernelsFor(name);
    sets.emplace_back(kernels, nullptr);
    if (const relic::ProductKernels* rounded = relic::bf16ProductOf(*kernels)) sets.emplace_back(kernels, rounded);
  }
  if (sets.empty()) return 1;
  relic::Pool pool(threads);
  const relic::Sgemm sgemm = relic::openBlas(threads);
  std::printf("%d threads, GFLOP/s\nshape           rows   out    in", threads);
  for (const relic::Set& set : sets) std::printf(" %9s", set.second ? "bf16" : set.first->name);
  std::printf(sgemm ? "  OpenBLAS %s/it\n" : "%s\n", sgemm ? sets[0].first->name : "");
  for (const relic::Shape& shape : relic::kShapes) relic::run(shape, pool, sets, sgemm, rounds);
  return 0;
}
