// Times of the ops that are no matrix product, beside what memory and arithmetic allow:
//
//   bench_ops [threads] [rounds] [isa or ""] [json] [rows=RxC ...] [attention=SEQUENCESxLENGTHxHEADSxWIDTH ...]
//             [absorbed=PAIRSxLENGTHxHEADSxWIDTH ...] [adamw=PARAMETERS]
//
// "floor" is the time a copy takes, in the same round, over buffers as large as the op's, for as many bytes as the op
// must move (every operand read or written once); of ops that update in place, a scaling in place where that is faster.
// "arithmetic" is the op's own time on rows that stay in the first-level
// cache, on one thread, divided by the threads; of attention, its products at the rate of a large linear layer and the
// rest from rows in that cache. Medians of rounds. Attention counts scores, AdamW parameters.
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

using Call = std::function<void()>;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::vector<float> wave(int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); i++) values[i] = static_cast<float>((i * 7919) % 1000) / 250.0f - 2.0f;
  return values;
}

// What an op moves, in floats: `moved` reads and writes of `distinct` floats of memory.
struct Traffic {
  double moved, distinct;
};

class Bench {
 public:
  Bench(Context& context, Context& single, int rounds, bool json)
      : context(context), single(single), rounds_(rounds), json_(json) {
    constexpr int kRows = 1024, kOut = 1152, kIn = 384;
    const std::vector<float> x = wave(kRows * kIn), w = wave(kOut * kIn);
    std::vector<float> y(static_cast<size_t>(kRows) * kOut);
    const double spent =
        timed([&] { linearForward(context, kRows, kOut, kIn, x.data(), w.data(), nullptr, y.data()); });
    secondsPerFlop_ = spent / (2.0 * kRows * kOut * kIn);
  }

  // Seconds of a call, over at least 10 ms. Small calls go by the batch: to ask for the time takes as long as some.
  double timed(const Call& call) const {
    call();
    int64_t calls = 0, batch = 1;
    double spent = 0;
    for (const double start = now(); spent < 0.01; spent = now() - start) {
      if (calls > 0) batch = std::max<int64_t>(1, static_cast<int64_t>(1e-4 * static_cast<double>(calls) / spent));
      for (int64_t i = 0; i < batch; i++) call();
      calls += batch;
    }
    return spent / static_cast<double>(calls);
  }

  double secondsPerFlop() const { return secondsPerFlop_; }

  // `arithmetic` returns seconds of the whole op on one thread.
  void run(const std::string& name, const std::string& shape, double elements, const Traffic& traffic, const Call& call,
           const std::function<double()>& arithmetic) {
    std::vector<float> from = wave(static_cast<int64_t>(traffic.distinct / 2) + 1), to(from.size());
    std::vector<double> times, floors, ratios, own;
    for (int round = 0; round < rounds_; round++) {
      times.push_back(timed(call));
      double pass = timed([&] { copyAll(from, to); });
      if (traffic.moved > traffic.distinct) {
        // In place no line is fetched only to be written over. This moves twice what the copy does.
        const double update = timed([&] {
          scale(context, static_cast<int64_t>(from.size()), 1.0f, from.data());
          scale(context, static_cast<int64_t>(to.size()), 1.0f, to.data());
        });
        pass = std::min(pass, update / 2);
      }
      floors.push_back(pass * traffic.moved / (2.0 * static_cast<double>(from.size())));
      ratios.push_back(times.back() / floors.back());
      own.push_back(arithmetic() / context.pool.threads());
    }
    print(name, shape, elements, median(times), median(floors), median(ratios), median(own));
  }

  void finish() const {
    if (json_) std::printf("]}\n");
  }

  Context& context;
  Context& single;

 private:
  double now() const {
    timespec time;
    // One thread is timed by its own clock, which other programs on the machine disturb less.
    clock_gettime(context.pool.threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

  void copyAll(const std::vector<float>& from, std::vector<float>& to) const {
    const auto count = static_cast<int64_t>(from.size());
    context.pool.parallelRanges(count, 16, 0.2 * static_cast<double>(count), [&](int64_t start, int64_t end, int64_t) {
      std::memcpy(to.data() + start, from.data() + start, static_cast<size_t>(end - start) * sizeof(float));
    });
  }

  void print(const std::string& name, const std::string& shape, double elements, double time, double floor,
             double ratio, double arithmetic) {
    const double scale = 1e9 / elements;
    if (json_) {
      std::printf("%s{\"name\":\"%s\",\"shape\":\"%s\",\"elements\":%.0f,", first_ ? "{\"results\":[" : ",",
                  name.c_str(), shape.c_str(), elements);
      std::printf("\"ns\":%.5f,\"floor\":%.5f,\"ratio\":%.4f,\"arithmetic\":%.5f}", scale * time, scale * floor, ratio,
                  scale * arithmetic);
    } else {
      constexpr const char* kHead = "%-34s %-16s %10s %10s %6s %10s\n";
      if (first_) std::printf(kHead, "ns/element", "", "time", "floor", "ratio", "arithmetic");
      std::printf("%-34s %-16s %10.4f %10.4f %6.2f %10.4f\n", name.c_str(), shape.c_str(), scale * time, scale * floor,
                  ratio, scale * arithmetic);
    }
    first_ = false;
  }

  int rounds_;
  bool json_;
  bool first_ = true;
  double secondsPerFlop_;
};

// The operands of ops over (rows, cols).
struct Rows {
  Rows(int64_t rows, int64_t cols)
      : rows(rows), cols(cols), x(wave(rows * cols)), h(x), y(x), out(x), weight(wave(cols)), bias(weight),
        dweight(weight), dbias(weight), stats(static_cast<size_t>(2 * rows)) {
    constexpr int64_t kSequence = 32;
    for (int64_t row = 0; row < rows; row += kSequence) offsets.push_back(static_cast<int32_t>(row));
    offsets.push_back(static_cast<int32_t>(rows));
  }
  int64_t count() const { return rows * cols; }
  int64_t sequences() const { return static_cast<int64_t>(offsets.size()) - 1; }

  int64_t rows, cols;
  std::vector<float> x, h, y, out, weight, bias, dweight, dbias, stats;
  std::vector<int32_t> offsets;
};

constexpr Dropout kDropout{{1, 2}, 3, 4, 6554, 1.1f};
constexpr Dropout kSecond{{1, 2}, 5, 4, 6554, 1.1f};
constexpr Dropout kNone{{1, 2}, 0, 4, 0, 1.0f};
constexpr Dropout kOne[] = {kDropout, kNone}, kTwo[] = {kDropout, kSecond};

struct RowOp {
  const char* name;
  // Operands of full size that are read or written, and how many they are.
  int moved, distinct;
  void (*call)(Context&, Rows&);
};

template <Activation activation>
void activate(Context& c, Rows& r) {
  activationForward(c, activation, r.count(), r.x.data(), r.out.data());
}
template <Activation activation>
void activateBackward(Context& c, Rows& r) {
  activationBackward(c, activation, r.count(), r.x.data(), r.y.data(), r.out.data(), false);
}

// Gradients of layer norms are added to those of the residual beside them, as in a step.
const RowOp kRowOps[] = {
    {"layerNorm forward", 2, 2,
     [](Context& c, Rows& r) {
       layerNormForward(c, r.rows, r.cols, 1e-5f, r.x.data(), r.weight.data(), r.bias.data(), r.out.data(),
                        r.stats.data());
     }},
    {"layerNorm backward", 4, 3,
     [](Context& c, Rows& r) {
       layerNormBackward(c, r.rows, r.cols, r.x.data(), r.weight.data(), r.stats.data(), r.y.data(), r.out.data(), true,
                         r.dweight.data(), false, r.dbias.data(), false);
     }},
    {"gelu forward", 2, 2, activate<Activation::gelu>},
    {"gelu backward", 3, 3, activateBackward<Activation::gelu>},
    {"relu forward", 2, 2, activate<Activation::relu>},
    {"silu forward", 2, 2, activate<Activation::silu>},
    {"tanh forward", 2, 2, activate<Activation::tanh>},
    {"dropout", 2, 2,
     [](Context& c, Rows& r) { dropoutApply(c, kDropout, r.rows, r.cols, r.x.data(), r.out.data(), false); }},
    {"columnSums", 1, 1,
     [](Context& c, Rows& r) { columnSums(c, r.rows, r.cols, r.x.data(), r.dbias.data(), false); }},
    {"add", 3, 3, [](Context& c, Rows& r) { add(c, r.count(), r.x.data(), r.y.data(), r.out.data()); }},
    {"copy", 2, 2, [](Context& c, Rows& r) { copyOrAdd(c, r.count(), r.x.data(), r.out.data(), false); }},
    {"activationDropout forward", 2, 2,
     [](Context& c, Rows& r) {
       activationDropoutForward(c, Activation::gelu, kDropout, r.rows, r.cols, r.x.data(), r.out.data());
     }},
    {"activationDropout backward", 3, 3,
     [](Context& c, Rows& r) {
       activationDropoutBackward(c, Activation::gelu, kDropout, r.rows, r.cols, r.x.data(), r.y.data(), r.out.data(),
                                 false);
     }},
    {"dropoutAdd forward", 3, 3,
     [](Context& c, Rows& r) {
       dropoutAddForward(c, kOne, r.rows, r.cols, r.x.data(), r.y.data(), r.out.data());
     }},
    {"dropoutAdd backward", 2, 2,
     [](Context& c, Rows& r) { maskChain(c, kOne, kMaxDropouts, r.rows, r.cols, r.y.data(), r.out.data(), false); }},
    {"dropoutAdd twice forward", 3, 3,
     [](Context& c, Rows& r) {
       dropoutAddForward(c, kTwo, r.rows, r.cols, r.x.data(), r.y.data(), r.out.data());
     }},
    {"dropoutAdd twice backward", 2, 2,
     [](Context& c, Rows& r) { maskChain(c, kTwo, kMaxDropouts, r.rows, r.cols, r.y.data(), r.out.data(), false); }},
    {"stochasticDepthAdd forward", 4, 4,
     [](Context& c, Rows& r) {
       stochasticDepthAddForward(c, kSecond, kOne, r.sequences(), r.offsets.data(), r.cols, r.x.data(), r.h.data(),
                                 r.y.data(), r.out.data());
     }},
    {"stochasticDepthAdd backward", 4, 4,
     [](Context& c, Rows& r) {
       stochasticDepthAddBackward(c, kSecond, kOne, r.sequences(), r.offsets.data(), r.cols, r.x.data(),
                                  {r.h.data(), false}, {r.y.data(), false}, {r.out.data(), false});
     }},
};

void benchRows(Bench& bench, int64_t rows, int64_t cols) {
  // Rows that stay in the first-level cache with all their operands.
  constexpr int64_t kCached = 1536;
  Rows large(rows, cols), small(std::max<int64_t>(1, std::min(rows, kCached / cols)), cols);
  const double count = static_cast<double>(large.count()), copies = count / static_cast<double>(small.count());
  for (const RowOp& op : kRowOps) {
    bench.run(op.name, dims({rows, cols}).substr(1), count, {op.moved * count, op.distinct * count},
              [&] { op.call(bench.context, large); },
              [&] { return copies * bench.timed([&] { op.call(bench.single, small); }); });
    // Some write over what others read.
    large = Rows(rows, cols);
    small = Rows(small.rows, cols);
  }
}

// Seconds of the softmax of one score, or of its gradient, masks included, on one thread.
double softmaxSeconds(const Bench& bench, int64_t keys, bool backward) {
  constexpr int64_t kQueries = 4;
  const Kernels& k = bench.single.kernels;
  const int64_t cols = std::min<int64_t>(keys, 512), stride = (cols + 15) / 16 * 16, blocks = (cols + 7) / 8;
  std::vector<float> s = wave(kQueries * stride + 16), d = s, sums(kQueries), dots(kQueries, 0.5f), logSumExp(kQueries);
  std::vector<uint16_t> draws(static_cast<size_t>(kQueries * blocks * 8 + 128));
  const ScoreRows rows{kQueries, cols, stride, 0.18f, draws.data(), blocks * 8, kDropout.threshold, kDropout.scale};
  const double spent = bench.timed([&] {
    k.draw({{1, 2}, 3, 4}, 0, 1, kQueries, 0, blocks, draws.data());
    if (backward) {
      k.softmaxGradientRows(rows, logSumExp.data(), 1, dots.data(), s.data(), d.data());
    } else {
      k.softmaxRows(rows, s.data(), sums.data(), logSumExp.data(), 1);
    }
  });
  return spent / static_cast<double>(kQueries * cols);
}

// One thread's seconds of an attention of this many scores, with `flops` a score in products.
std::function<double()> attentionArithmetic(const Bench& bench, double scores, double flops, int64_t keys,
                                            bool backward) {
  return [&bench, scores, flops, keys, backward] {
    const double products = flops * bench.secondsPerFlop() * bench.context.pool.threads();
    return scores * (products + softmaxSeconds(bench, keys, backward));
  };
}

void benchAttention(Bench& bench, int64_t sequences, int64_t length, int64_t heads, int64_t headWidth) {
  const int64_t width = heads * headWidth, rows = sequences * length;
  std::vector<float> qkv = wave(rows * 3 * width), out(static_cast<size_t>(rows * width)), dout = wave(rows * width);
  std::vector<float> logSumExp(static_cast<size_t>(rows * heads)), dqkv(qkv.size());
  std::vector<Segment> segments;
  for (int64_t i = 0; i < sequences; i++) {
    const auto from = static_cast<int32_t>(i * length), to = static_cast<int32_t>(from + length);
    segments.push_back({from, to, from, to, 0, 0});
  }
  const AttentionArgs args{heads,     width,     segments.data(),        sequences,
                           qkv.data(), 3 * width, qkv.data() + width,    qkv.data() + 2 * width,
                           3 * width, kDropout};
  const double scores = static_cast<double>(rows * length * heads), row = static_cast<double>(rows * width);
  const std::string shape = dims({sequences, length, heads, headWidth}).substr(1);
  bench.run("attention forward", shape, scores, {4 * row, 4 * row},
            [&] { attentionForward(bench.context, args, out.data(), logSumExp.data()); },
            attentionArithmetic(bench, scores, 4.0 * static_cast<double>(headWidth), length, false));
  bench.run("attention backward", shape, scores, {8 * row, 8 * row},
            [&] {
              std::fill(dqkv.begin(), dqkv.end(), 0.0f);
              attentionBackward(bench.context, args, out.data(), logSumExp.data(), dout.data(), dqkv.data(),
                                dqkv.data() + width, dqkv.data() + 2 * width);
            },
            attentionArithmetic(bench, scores, 10.0 * static_cast<double>(headWidth), length, true));
}

// One query a pair over both its proteins, whose keys and values are never made.
void benchAbsorbed(Bench& bench, int64_t pairs, int64_t length, int64_t heads, int64_t headWidth) {
  const int64_t width = heads * headWidth, rows = 2 * pairs * length, kept = pairs * heads * width;
  const std::vector<float> q = wave(pairs * width), x = wave(rows * width), bias = wave(width), dy = q;
  std::vector<float> weight = wave(width * width);
  for (float& value : weight) value *= 0.01f;
  std::vector<float> y(q.size()), stats(static_cast<size_t>(2 * pairs * heads)), keyed(static_cast<size_t>(kept));
  std::vector<float> pooled(keyed.size()), dkeyed(keyed.size()), dpooled(keyed.size());
  std::vector<float> dq(q.size()), dx(x.size()), dkey(weight.size()), dvalue(weight.size()), dbias(bias.size());
  std::vector<Segment> segments;
  for (int64_t i = 0; i < pairs; i++) {
    const auto pair = static_cast<int32_t>(i), a = static_cast<int32_t>(i * length);
    const auto b = static_cast<int32_t>((pairs + i) * length), step = static_cast<int32_t>(length);
    segments.push_back({pair, pair + 1, a, a + step, b, b + step});
  }
  const AbsorbedArgs args{heads,         width,         width,       segments.data(), pairs, q.data(), x.data(),
                          weight.data(), weight.data(), bias.data(), kDropout};
  const double scores = static_cast<double>(rows * heads), row = static_cast<double>(rows * width);
  const double w = static_cast<double>(width * width), small = static_cast<double>(kept);
  // Scores and pooling are products with rows of the model's width; K^T q and V pooled with the weights besides.
  const double flops = 4.0 * static_cast<double>(width) + 4.0 * static_cast<double>(pairs) * w / scores;
  const std::string shape = dims({pairs, length, heads, headWidth}).substr(1);
  bench.run("absorbedAttention forward", shape, scores, {row + 2 * w + 2 * small, row + w + 2 * small},
            [&] { absorbedAttentionForward(bench.context, args, y.data(), stats.data(), keyed.data(), pooled.data()); },
            attentionArithmetic(bench, scores, flops, 2 * length, false));
  bench.run("absorbedAttention backward", shape, scores, {2 * row + 4 * w + 4 * small, 2 * row + 3 * w + 4 * small},
            [&] {
              absorbedAttentionBackward(bench.context, args, stats.data(), keyed.data(), pooled.data(), dy.data(),
                                        {dkeyed.data(), dpooled.data(), {dq.data(), false}, {dx.data(), false},
                                         {dkey.data(), false}, {dvalue.data(), false}, {dbias.data(), false}});
            },
            attentionArithmetic(bench, scores, 2 * flops, 2 * length, true));
}

void benchAdamw(Bench& bench, int64_t parameters) {
  constexpr int64_t kCached = 1536;
  const auto update = [](Context& c, std::vector<float>& p, const std::vector<float>& g, std::vector<float>& m,
                         std::vector<float>& v) {
    adamwUpdate(c, static_cast<int64_t>(p.size()), p.data(), g.data(), m.data(), v.data(), 1e-4, 0.9, 0.999, 1e-8, 0.01,
                10);
  };
  std::vector<float> p = wave(parameters), g = p, m(p.size()), v(p.size());
  std::vector<float> p2 = wave(kCached), g2 = p2, m2(p2.size()), v2(p2.size());
  const double count = static_cast<double>(parameters);
  bench.run("adamw", std::to_string(parameters), count, {7 * count, 4 * count},
            [&] { update(bench.context, p, g, m, v); },
            [&] { return count / kCached * bench.timed([&] { update(bench.single, p2, g2, m2, v2); }); });
}

// The numbers of "AxBxC".
std::vector<int64_t> sizesOf(const char* text) {
  std::vector<int64_t> sizes;
  for (const char* at = text; *at != '\0';) {
    char* end;
    sizes.push_back(std::strtoll(at, &end, 10));
    at = *end == 'x' ? end + 1 : end;
    if (end == at) break;
  }
  return sizes;
}

// False when an argument says nothing that is known.
bool measure(Bench& bench, const char* argument) {
  const char* equals = std::strchr(argument, '=');
  if (!equals) return false;
  const std::string what(argument, equals);
  const std::vector<int64_t> n = sizesOf(equals + 1);
  if (what == "rows" && n.size() == 2) {
    benchRows(bench, n[0], n[1]);
  } else if (what == "attention" && n.size() == 4) {
    benchAttention(bench, n[0], n[1], n[2], n[3]);
  } else if (what == "absorbed" && n.size() == 4) {
    benchAbsorbed(bench, n[0], n[1], n[2], n[3]);
  } else if (what == "adamw" && n.size() == 1) {
    benchAdamw(bench, n[0]);
  } else {
    return false;
  }
  return true;
}

}  // namespace
}  // namespace relic

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1, rounds = argc > 2 ? std::atoi(argv[2]) : 5;
  const relic::Kernels* kernels = relic::kernelsFor(argc > 3 ? argv[3] : "");
  if (!kernels) return 1;
  const bool json = argc > 4 && std::strcmp(argv[4], "json") == 0;
  std::vector<const char*> cases(argv + std::min(argc, json ? 5 : 4), argv + argc);
  if (cases.empty()) {
    cases = {"rows=1024x384", "attention=32x32x12x32", "attention=4x512x8x80", "absorbed=16x32x12x32",
             "adamw=10197633"};
  }
  relic::Pool pool(threads), one(1);
  relic::Context context{pool, *kernels}, single{one, *kernels};
  relic::Bench bench(context, single, rounds, json);
  for (const char* each : cases) {
    if (relic::measure(bench, each)) continue;
    std::fprintf(stderr, "bench_ops does not know %s\n", each);
    return 1;
  }
  bench.finish();
  return 0;
}
