// Nanoseconds an element of the ops that are no matrix product: bench_ops [threads] [rounds] [isa]
// [part of a name]. Medians of rounds.
// Attention counts scores (forward and backward), AdamW parameters.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "check.h"
#include "isa.h"
#include "kernels/kernels.h"
#include "ops.h"
#include "pool.h"

namespace relic {
namespace {

class Timer {
 public:
  Timer(bool ownClock, int rounds, const char* only) : ownClock_(ownClock), rounds_(rounds), only_(only) {}

  void run(const std::string& name, double elements, const std::function<void()>& call) const {
    if (name.find(only_) == std::string::npos) return;
    std::vector<double> times;
    for (int round = 0; round <= rounds_; round++) {
      const double start = seconds();
      int calls = 0;
      double spent = 0;
      for (; spent < 0.01; spent = seconds() - start) {
        call();
        calls++;
      }
      if (round > 0) times.push_back(spent / calls);
    }
    std::sort(times.begin(), times.end());
    const double median = times[times.size() / 2];
    std::printf("%-34s %10.3f ns/element %12.1f us\n", name.c_str(), 1e9 * median / elements, 1e6 * median);
  }

 private:
  double seconds() const {
    timespec now;
    clock_gettime(ownClock_ ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  }

  bool ownClock_;
  int rounds_;
  std::string only_;
};

std::vector<float> wave(int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); i++) values[i] = static_cast<float>((i * 7919) % 1000) / 250.0f - 2.0f;
  return values;
}

void benchRows(Context& context, const Timer& timer, int64_t rows, int64_t cols) {
  const int64_t count = rows * cols;
  const double n = static_cast<double>(count);
  std::vector<float> x = wave(count), y = wave(count), dy = wave(count), weight = wave(cols), bias = wave(cols);
  std::vector<float> stats(static_cast<size_t>(2 * rows)), dweight = weight, dbias = bias;
  const Dropout dropout{{1, 2}, 3, 4, 6554, 1.1f};
  const std::string shape = dims({rows, cols});
  timer.run("layerNormForward" + shape, n, [&] {
    layerNormForward(context, rows, cols, 1e-5f, x.data(), weight.data(), bias.data(), y.data(), stats.data());
  });
  timer.run("layerNormBackward" + shape, n, [&] {
    layerNormBackward(context, rows, cols, x.data(), weight.data(), stats.data(), dy.data(), y.data(), false,
                      dweight.data(), false, dbias.data(), false);
  });
  const char* names[] = {"gelu", "relu", "silu", "tanh"};
  for (int a = 0; a < 4; a++) {
    const Activation activation = static_cast<Activation>(a);
    timer.run(names[a] + (" forward" + shape), n,
              [&] { activationForward(context, activation, count, x.data(), y.data()); });
    timer.run(names[a] + (" backward" + shape), n,
              [&] { activationBackward(context, activation, count, x.data(), dy.data(), y.data(), false); });
  }
  timer.run("dropout" + shape, n, [&] { dropoutApply(context, dropout, rows, cols, x.data(), y.data(), false); });
  timer.run("columnSums" + shape, n, [&] { columnSums(context, rows, cols, x.data(), dbias.data(), false); });
  timer.run("add" + shape, n, [&] { add(context, count, x.data(), dy.data(), y.data()); });
  timer.run("copy" + shape, n, [&] { copyOrAdd(context, count, x.data(), y.data(), false); });
}

std::string describe(int sequences, const char* by, int length, int heads, int headWidth) {
  char text[64];
  std::snprintf(text, sizeof(text), " %d%s%d %dx%d", sequences, by, length, heads, headWidth);
  return text;
}

void benchAttention(Context& context, const Timer& timer, int sequences, int length, int heads, int headWidth,
                    bool masked) {
  const int64_t width = static_cast<int64_t>(heads) * headWidth, rows = static_cast<int64_t>(sequences) * length;
  std::vector<float> qkv = wave(rows * 3 * width), out(static_cast<size_t>(rows * width)), dout = wave(rows * width);
  std::vector<float> logSumExp(static_cast<size_t>(rows * heads)), dqkv(qkv.size());
  std::vector<Segment> segments;
  for (int i = 0; i < sequences; i++) {
    const int32_t from = i * length, to = from + length;
    segments.push_back({from, to, from, to, 0, 0});
  }
  AttentionArgs args{heads,
                     width,
                     segments.data(),
                     sequences,
                     qkv.data(),
                     3 * width,
                     qkv.data() + width,
                     qkv.data() + 2 * width,
                     3 * width,
                     {{1, 2}, 3, 4, masked ? 6554u : 0u, 1.1f}};
  const double scores = static_cast<double>(rows) * length * heads;
  const std::string shape = describe(sequences, " x L", length, heads, headWidth) + (masked ? " dropout" : "");
  timer.run("attn fwd" + shape, scores, [&] { attentionForward(context, args, out.data(), logSumExp.data()); });
  timer.run("attn bwd" + shape, scores, [&] {
    std::fill(dqkv.begin(), dqkv.end(), 0.0f);
    attentionBackward(context, args, out.data(), logSumExp.data(), dout.data(), dqkv.data(), dqkv.data() + width,
                      dqkv.data() + 2 * width);
  });
}

// One query a pair over both proteins.
void benchCls(Context& context, const Timer& timer, int pairs, int length, int heads, int headWidth) {
  const int64_t width = static_cast<int64_t>(heads) * headWidth, rows = 2 * static_cast<int64_t>(pairs) * length;
  std::vector<float> q = wave(pairs * width), kv = wave(rows * 2 * width), dq(q.size()), dkv(kv.size());
  std::vector<float> out(q.size()), dout = wave(pairs * width), logSumExp(static_cast<size_t>(pairs * heads));
  std::vector<Segment> segments;
  for (int i = 0; i < pairs; i++) {
    const int32_t from = i * length, from2 = (pairs + i) * length;
    segments.push_back({i, i + 1, from, from + length, from2, from2 + length});
  }
  AttentionArgs args{heads, width,     segments.data(),   pairs,     q.data(),
                     width, kv.data(), kv.data() + width, 2 * width, {{1, 2}, 3, 4, 6554, 1.1f}};
  const double scores = static_cast<double>(rows) * heads;
  const std::string shape = describe(pairs, " x 2L", length, heads, headWidth);
  timer.run("cls fwd" + shape, scores, [&] { attentionForward(context, args, out.data(), logSumExp.data()); });
  timer.run("cls bwd" + shape, scores, [&] {
    attentionBackward(context, args, out.data(), logSumExp.data(), dout.data(), dq.data(), dkv.data(),
                      dkv.data() + width);
  });
}

}  // namespace
}  // namespace relic

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1, rounds = argc > 2 ? std::atoi(argv[2]) : 5;
  const relic::Kernels* kernels = relic::kernelsFor(argc > 3 ? argv[3] : "");
  if (!kernels) return 1;
  relic::Pool pool(threads);
  relic::Context context{pool, *kernels};
  const relic::Timer timer(threads == 1, rounds, argc > 4 ? argv[4] : "");
  std::printf("%s, %d threads\n", kernels->name, threads);
  relic::benchRows(context, timer, 1024, 384);
  for (const bool masked : {false, true}) {
    relic::benchAttention(context, timer, 8, 8, 4, 16, masked);
    relic::benchAttention(context, timer, 32, 32, 12, 32, masked);
    relic::benchAttention(context, timer, 16, 256, 12, 32, masked);
    relic::benchAttention(context, timer, 4, 512, 10, 64, masked);
    relic::benchAttention(context, timer, 4, 512, 8, 80, masked);
  }
  relic::benchCls(context, timer, 16, 32, 12, 32);
  relic::benchCls(context, timer, 2, 512, 8, 80);
  const int64_t parameters = 20000000;
  std::vector<float> p = relic::wave(parameters), g = p, m(p.size()), v(p.size());
  timer.run("adamw", static_cast<double>(parameters), [&] {
    relic::adamwUpdate(context, parameters, p.data(), g.data(), m.data(), v.data(), 1e-4, 0.9, 0.999, 1e-8, 0.01, 10);
  });
  return 0;
}
