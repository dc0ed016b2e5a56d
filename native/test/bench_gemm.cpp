// GFLOP/s of the linear layers of V3 on every kernel set, or one and those for bfloat16, beside OpenBLAS and oneDNN where they can be opened
// (RELIC_BLAS names other files, between colons). Usage: bench_gemm [threads] [rounds] [isa or ""] [json]. Times of
// one shape alternate; medians are printed, and ratios of one round.
#include <dlfcn.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "isa.h"
#include "kernels/kernels.h"
#include "ops.h"
#include "pool.h"

namespace relic {
namespace {

// c (m, n) = a b, row-major; `transA` when a lies as (k, m), `transB` when b lies as (n, k).
using Sgemm = std::function<void(bool transA, bool transB, int m, int n, int k, const float* a, int lda, const float* b,
                                 int ldb, float* c, int ldc)>;

struct Library {
  std::string name;
  Sgemm sgemm;
};

Sgemm cblasOf(void* library) {
  constexpr int kRowMajor = 101, kNo = 111, kYes = 112;
  using Cblas = void (*)(int order, int transA, int transB, int m, int n, int k, float alpha, const float* a, int lda,
                         const float* b, int ldb, float beta, float* c, int ldc);
  const auto call = reinterpret_cast<Cblas>(dlsym(library, "cblas_sgemm"));
  if (!call) return nullptr;
  return [call](bool transA, bool transB, int m, int n, int k, const float* a, int lda, const float* b, int ldb,
                float* c, int ldc) {
    call(kRowMajor, transA ? kYes : kNo, transB ? kYes : kNo, m, n, k, 1, a, lda, b, ldb, 0, c, ldc);
  };
}

Sgemm oneDnnOf(void* library) {
  using Dnnl = int (*)(char transA, char transB, int64_t m, int64_t n, int64_t k, float alpha, const float* a,
                       int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc);
  const auto call = reinterpret_cast<Dnnl>(dlsym(library, "dnnl_sgemm"));
  if (!call) return nullptr;
  return [call](bool transA, bool transB, int m, int n, int k, const float* a, int lda, const float* b, int ldb,
                float* c, int ldc) {
    call(transA ? 'T' : 'N', transB ? 'T' : 'N', m, n, k, 1, a, lda, b, ldb, 0, c, ldc);
  };
}

std::vector<Library> openLibraries(int threads) {
  const char* named = std::getenv("RELIC_BLAS");
  // Releases that do not know a CPU would take kernels of 128 bits.
  if (kernelsFor("avx512") != nullptr) setenv("OPENBLAS_CORETYPE", "SKYLAKEX", 0);
  std::stringstream files(named ? named : "libopenblas.so.0:libdnnl.so.3:libdnnl.so.2");
  std::vector<Library> libraries;
  for (std::string file; std::getline(files, file, ':');) {
    void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) continue;
    // OpenBLAS may have threads of its own; oneDNN has those of the OpenMP that it brought along.
    for (const char* symbol : {"openblas_set_num_threads", "omp_set_num_threads"}) {
      using SetThreads = void (*)(int);
      if (const auto set = reinterpret_cast<SetThreads>(dlsym(library, symbol))) set(threads);
    }
    Sgemm sgemm = oneDnnOf(library);
    const bool isOneDnn = static_cast<bool>(sgemm);
    if (!sgemm) sgemm = cblasOf(library);
    if (!sgemm) continue;
    const std::string name = isOneDnn ? "oneDNN" : dlsym(library, "openblas_set_num_threads") ? "OpenBLAS" : file;
    const bool known = std::any_of(libraries.begin(), libraries.end(), [&](auto& each) { return each.name == name; });
    if (!known) libraries.push_back({name, sgemm});
  }
  return libraries;
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

std::string nameOf(const Set& set) { return std::string(set.first->name) + (set.second ? " bf16" : ""); }

// y = x w^T, dx = dy w, dw = dy^T x.
constexpr const char* kForms[] = {"y", "dx", "dw"};

struct Result {
  const Shape* shape;
  const char* form;
  std::vector<double> ours, libraries;  // GFLOP/s, by set and by library
  std::vector<double> ratios;           // of the first set, by library
};

class Race {
 public:
  Race(Pool& pool, const std::vector<Set>& sets, const std::vector<Library>& libraries, int rounds)
      : pool_(pool), sets_(sets), libraries_(libraries), rounds_(rounds) {}

  Result run(const Shape& s, int form) {
    const size_t rows = static_cast<size_t>(s.rows), out = static_cast<size_t>(s.out), in = static_cast<size_t>(s.in);
    // Filled anew for each form, so that values stay finite and normal whatever the products made of them.
    std::vector<float> x(rows * in, 0.5f), w(out * in, 0.25f), y(rows * out, 0.125f);
    const double products = static_cast<double>(rows * out * in);
    std::vector<std::vector<double>> ours(sets_.size()), theirs(libraries_.size());
    for (int round = 0; round < rounds_; round++) {
      for (size_t i = 0; i < sets_.size(); i++) {
        const Set& set = sets_[i];
        Context context = set.second ? Context{pool_, *set.first, *set.second} : Context{pool_, *set.first};
        ours[i].push_back(rate(products, pool_.threads() == 1, [&] {
          if (form == 0) linearForward(context, s.rows, s.out, s.in, x.data(), w.data(), nullptr, y.data());
          if (form == 1) linearBackwardInput(context, s.rows, s.out, s.in, y.data(), w.data(), x.data(), false);
          if (form == 2) linearBackwardWeight(context, s.rows, s.out, s.in, y.data(), x.data(), w.data(), false);
        }));
      }
      for (size_t i = 0; i < libraries_.size(); i++) {
        const Sgemm& sgemm = libraries_[i].sgemm;
        theirs[i].push_back(rate(products, pool_.threads() == 1, [&] {
          if (form == 0) sgemm(false, true, s.rows, s.out, s.in, x.data(), s.in, w.data(), s.in, y.data(), s.out);
          if (form == 1) sgemm(false, false, s.rows, s.in, s.out, y.data(), s.out, w.data(), s.in, x.data(), s.in);
          if (form == 2) sgemm(true, false, s.out, s.in, s.rows, y.data(), s.out, x.data(), s.in, w.data(), s.in);
        }));
      }
    }
    Result result{&s, kForms[form], {}, {}, {}};
    for (const auto& rates : ours) result.ours.push_back(median(rates));
    for (const auto& rates : theirs) {
      result.libraries.push_back(median(rates));
      std::vector<double> ratios;
      for (size_t i = 0; i < rates.size(); i++) ratios.push_back(ours[0][i] / rates[i]);
      result.ratios.push_back(median(ratios));
    }
    return result;
  }

 private:
  Pool& pool_;
  const std::vector<Set>& sets_;
  const std::vector<Library>& libraries_;
  int rounds_;
};

void printRow(const Result& r) {
  std::printf("%-11s %-2s %5d %5d %5d", r.shape->name, r.form, r.shape->rows, r.shape->out, r.shape->in);
  for (const double gflops : r.ours) std::printf(" %11.1f", gflops);
  for (size_t i = 0; i < r.libraries.size(); i++) std::printf(" %9.1f %6.2f", r.libraries[i], r.ratios[i]);
  std::printf("\n");
}

void printJson(const Result& r, const std::vector<Set>& sets, const std::vector<Library>& libraries, bool first) {
  std::printf("%s{\"name\":\"%s\",\"form\":\"%s\",\"rows\":%d,\"out\":%d,\"in\":%d,\"gflops\":{", first ? "" : ",",
              r.shape->name, r.form, r.shape->rows, r.shape->out, r.shape->in);
  const char* comma = "";
  for (size_t i = 0; i < sets.size(); i++, comma = ",") {
    std::printf("%s\"%s\":%.2f", comma, nameOf(sets[i]).c_str(), r.ours[i]);
  }
  for (size_t i = 0; i < libraries.size(); i++) std::printf(",\"%s\":%.2f", libraries[i].name.c_str(), r.libraries[i]);
  std::printf("},\"ratios\":{");
  comma = "";
  for (size_t i = 0; i < libraries.size(); i++, comma = ",") {
    std::printf("%s\"%s\":%.4f", comma, libraries[i].name.c_str(), r.ratios[i]);
  }
  std::printf("}}");
}

}  // namespace
}  // namespace relic

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1, rounds = argc > 2 ? std::atoi(argv[2]) : 5;
  const std::string isa = argc > 3 ? argv[3] : "";
  const bool json = argc > 4 && std::strcmp(argv[4], "json") == 0;
  std::vector<relic::Set> sets;
  for (const char* name : relic::availableIsas()) {
    if (!isa.empty() && isa != name) continue;
    sets.emplace_back(relic::kernelsFor(name), nullptr);
  }
  if (sets.empty()) return 1;
  for (const char* name : relic::bf16Isas()) {
    const relic::Kernels* kernels = relic::kernelsFor(name);
    sets.emplace_back(kernels, relic::bf16ProductOf(*kernels));
  }
  relic::Pool pool(threads);
  const std::vector<relic::Library> libraries = relic::openLibraries(threads);
  relic::Race race(pool, sets, libraries, rounds);
  if (json) {
    std::printf("{\"threads\":%d,\"isa\":\"%s\",\"results\":[", threads, sets[0].first->name);
  } else {
    std::printf("%d threads, GFLOP/s\nshape           rows   out    in", threads);
    for (const relic::Set& set : sets) std::printf(" %11s", relic::nameOf(set).c_str());
    for (const relic::Library& library : libraries) std::printf(" %9s %6s", library.name.c_str(), "ratio");
    std::printf("\n");
  }
  bool first = true;
  for (const relic::Shape& shape : relic::kShapes) {
    for (int form = 0; form < 3; form++, first = false) {
      const relic::Result result = race.run(shape, form);
      if (json) {
        relic::printJson(result, sets, libraries, first);
      } else {
        relic::printRow(result);
      }
    }
  }
  if (json) std::printf("]}\n");
  return 0;
}
