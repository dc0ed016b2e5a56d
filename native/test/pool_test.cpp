// The pool: every part runs once, nested jobs stay on their thread, sums do not depend on timing, workers sleep and
// wake. Meant for the thread sanitiser as well.
#include "pool.h"

#include <chrono>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

#include "check.h"
#include "cores.h"

namespace relic {
namespace {

void testParts(Checker& checker, int threads) {
  Pool pool(threads);
  const std::string name = dims({threads}) + " threads";
  checker.isTrue("threads" + name, pool.threads() == threads);
  for (const int64_t parts : {0, 1, 2, 3, 7, 100}) {
    std::vector<int> visits(static_cast<size_t>(parts));
    for (int round = 0; round < 200; round++)
      pool.parallelFor(parts, [&](int64_t part) { visits[static_cast<size_t>(part)]++; });
    bool once = true;
    for (const int count : visits) once = once && count == 200;
    checker.isTrue("every part once" + name + dims({parts}), once);
  }
}

void testRanges(Checker& checker) {
  Pool pool(3);
  for (const int64_t count : {0, 1, 5, 64, 1000}) {
    std::vector<int> covered(static_cast<size_t>(count));
    int64_t badRanges[3] = {};
    pool.parallelRanges(count, 16, 1e9, [&](int64_t from, int64_t to, int64_t part) {
      if (from % 16 != 0 || from >= to) badRanges[part]++;
      for (int64_t i = from; i < to; i++) covered[static_cast<size_t>(i)]++;
    });
    bool whole = badRanges[0] + badRanges[1] + badRanges[2] == 0;
    for (const int times : covered) whole = whole && times == 1;
    checker.isTrue("ranges cover" + dims({count}), whole);
  }
  checker.isTrue("tiny work stays on the caller", pool.partsFor(100) == 1);
  checker.isTrue("no cost is no reason to share", pool.partsFor(NAN) == 1);
  checker.isTrue("large work takes every thread", pool.partsFor(1e9) == 3);
}

void testNested(Checker& checker) {
  Pool pool(4);
  int64_t sums[8] = {};
  pool.parallelFor(8, [&](int64_t part) {
    const std::thread::id outer = std::this_thread::get_id();
    pool.parallelFor(5, [&](int64_t inner) {
      if (std::this_thread::get_id() == outer) sums[part] += inner;
    });
  });
  bool good = true;
  for (const int64_t sum : sums) good = good && sum == 10;
  checker.isTrue("nested parts stay on their thread", good);
}

void testSleep(Checker& checker) {
  Pool pool(3);
  int64_t total = 0;
  for (int round = 0; round < 20; round++) {
    // Long enough for the workers to fall asleep, and for the caller to wait for one that is late.
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    int64_t parts[3] = {};
    pool.parallelFor(3, [&](int64_t part) {
      if (part == round % 3) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      parts[part] = part + 1;
    });
    total += parts[0] + parts[1] + parts[2];
  }
  checker.isTrue("workers wake up", total == 120);
}

void testScratch(Checker& checker) {
  Pool pool(2);
  bool good = true;
  for (const size_t size : {1, 100, 5000, 17}) {
    pool.reserve(2, size);
    pool.parallelFor(2, [&](int64_t part) {
      float* scratch = pool.scratch(part);
      for (size_t i = 0; i < size; i++) scratch[i] = static_cast<float>(part);
    });
    good = good && pool.scratch(0)[size - 1] == 0 && pool.scratch(1)[0] == 1;
    good = good && reinterpret_cast<uintptr_t>(pool.scratch(1)) % 64 == 0;
  }
  checker.isTrue("scratch is aligned and apart", good);
  const size_t bytes = pool.scratchBytes();
  pool.reserve(2, 5000);
  checker.isTrue("scratch is kept", bytes == pool.scratchBytes() && bytes >= 2 * 5000 * sizeof(float));
}

#if defined(__linux__)
// A worker that finds itself on the caller's core leaves it, and may still run anywhere.
void testCores(Checker& checker) {
  cpu_set_t allowed;
  sched_getaffinity(0, sizeof(allowed), &allowed);
  if (CPU_COUNT(&allowed) < 2) return;
  Pool pool(2);
  int cores[2] = {-1, -1};
  const auto look = [&] { pool.parallelFor(2, [&](int64_t part) { cores[part] = currentCore(); }); };
  const auto onCore = [](int core) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<size_t>(core), &one);
    sched_setaffinity(0, sizeof(one), &one);
  };
  const int core = currentCore();
  // The caller is held where it is; the worker is put beside it and then let go.
  onCore(core);
  cpu_set_t after;
  pool.parallelFor(2, [&](int64_t part) {
    if (part == 0) return;
    onCore(core);
    sched_setaffinity(0, sizeof(allowed), &allowed);
  });
  for (int round = 0; round < 64; round++) look();
  checker.isTrue("a worker leaves the caller's core", cores[0] == core && cores[1] != core);
  pool.parallelFor(2, [&](int64_t part) {
    if (part == 1) sched_getaffinity(0, sizeof(after), &after);
  });
  checker.isTrue("and may run on every core", CPU_EQUAL(&allowed, &after));
  sched_setaffinity(0, sizeof(allowed), &allowed);
}
#endif

}  // namespace
}  // namespace relic

int main() {
  relic::Checker checker;
  for (const int threads : {1, 2, 3, 5}) relic::testParts(checker, threads);
  relic::testRanges(checker);
  relic::testNested(checker);
  relic::testSleep(checker);
  relic::testScratch(checker);
#if defined(__linux__)
  relic::testCores(checker);
#endif
  for (int i = 0; i < 50; i++) relic::Pool idle(3);
  return checker.finish();
}
