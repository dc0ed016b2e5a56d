// Absorbed attention of the GPU engine on the emulator, against the CPU engine's with the same masks (which
// test/engine/ compares with float64): several parts a pair, odd widths, x in every format, gradients that are added to.
#include "check.h"
#include "cpu/isa.h"
#include "cpu/kernels/kernels.h"
#include "cpu/pool.h"
#include "cuda/absorbed.h"
#include "device_array.h"

namespace relic::cuda {
namespace {

struct Case {
  std::string name;
  int64_t heads, headWidth, cols;
  std::vector<int32_t> lengthsA, lengthsB;
  uint32_t threshold;
  Format format;
  bool accumulate;

  int64_t width() const { return heads * headWidth; }
  int64_t pairs() const { return static_cast<int64_t>(lengthsA.size()); }
  int64_t features() const { return pairs() * heads * cols; }
};

std::vector<Case> cases() {
  const std::vector<int32_t> few = {3, 1, 9}, many = {130, 64, 1, 65}, others = {2, 63, 129, 200};
  return {{"one head", 1, 6, 5, few, {1, 2, 4}, 0, Format::float32, false},
          {"two heads, dropout", 2, 3, 6, few, {1, 2, 4}, 16384, Format::float32, false},
          {"several parts", 8, 16, 136, many, others, 6554, Format::float32, false},
          {"added to", 12, 8, 33, many, others, 6554, Format::float32, true},
          {"bf16 tokens", 8, 16, 64, many, others, 6554, Format::bfloat16, true},
          {"fp16 tokens", 3, 8, 24, many, others, 6554, Format::float16, false},
          // Too many heads for the scores of 64 keys.
          {"narrow heads", 200, 2, 12, {70, 3}, {9, 80}, 6554, Format::float32, false}};
}

// What both engines are given, and what they make of it by name.
struct Inputs {
  std::vector<Segment> segments;
  int64_t tokens = 0, longest = 0;
  Floats q, x, keyWeight, valueWeight, valueBias, dy;
  Dropout dropout{};
};

struct Outputs {
  Floats y, stats, keyed, pooled, dkeyed, dpooled, dq, dx, dkeyWeight, dvalueWeight, dvalueBias;
};

Floats rounded(const Floats& values, Format format) {
  Floats out;
  for (const float value : values) {
    if (format == Format::bfloat16) out.push_back(toFloat(fromFloat<BFloat16>(value)));
    if (format == Format::float16) out.push_back(toFloat(fromFloat<Half>(value)));
    if (format == Format::float32) out.push_back(value);
  }
  return out;
}

Inputs inputsOf(const Case& c) {
  Inputs in;
  int32_t row = 0;
  for (const auto* side : {&c.lengthsA, &c.lengthsB}) {
    for (int64_t i = 0; i < c.pairs(); i++) {
      const int32_t from = row;
      row += (*side)[at(i)];
      const auto query = static_cast<int32_t>(i);
      if (side == &c.lengthsA) in.segments.push_back({query, query + 1, from, row, 0, 0});
      if (side == &c.lengthsB) {
        in.segments[at(i)].key2From = from;
        in.segments[at(i)].key2To = row;
      }
    }
  }
  for (int64_t i = 0; i < c.pairs(); i++) {
    in.longest = std::max<int64_t>(in.longest, c.lengthsA[at(i)] + c.lengthsB[at(i)]);
  }
  in.tokens = row;
  Random random(static_cast<uint64_t>(c.heads * 100 + c.cols));
  in.q = random.values(c.pairs() * c.width());
  in.x = rounded(random.values(in.tokens * c.cols), c.format);
  in.keyWeight = random.values(c.width() * c.cols);
  in.valueWeight = random.values(c.width() * c.cols);
  in.valueBias = random.values(c.width());
  in.dy = random.values(c.pairs() * c.width());
  in.dropout = {{7, 8}, 3, 5, c.threshold, c.threshold == 0 ? 1.0f : 65536.0f / static_cast<float>(65536 - c.threshold)};
  return in;
}

// What gradients hold before; the same in both engines.
Outputs before(const Case& c, const Inputs& in) {
  const auto filled = [](int64_t count) { return Floats(at(count), 0.25f); };
  return {filled(c.pairs() * c.width()), filled(2 * c.pairs() * c.heads), filled(c.features()), filled(c.features()),
          filled(c.features()),          filled(c.features()),            filled(c.pairs() * c.width()),
          filled(in.tokens * c.cols),    filled(c.width() * c.cols),      filled(c.width() * c.cols),
          filled(c.width())};
}

Outputs onCpu(const Case& c, const Inputs& in) {
  Outputs out = before(c, in);
  Pool pool(1);
  relic::Context context{pool, *kernelsFor("generic")};
  const AbsorbedArgs args{c.heads,         c.width(),           c.cols,
                          in.segments.data(), c.pairs(),        in.q.data(),
                          in.x.data(),     in.keyWeight.data(), in.valueWeight.data(),
                          in.valueBias.data(), in.dropout};
  absorbedAttentionForward(context, args, out.y.data(), out.stats.data(), out.keyed.data(), out.pooled.data());
  const auto to = [&](Floats& values) { return Gradient{values.data(), c.accumulate}; };
  absorbedAttentionBackward(context, args, out.stats.data(), out.keyed.data(), out.pooled.data(), in.dy.data(),
                            {out.dkeyed.data(), out.dpooled.data(), to(out.dq), to(out.dx), to(out.dkeyWeight),
                             to(out.dvalueWeight), to(out.dvalueBias)});
  return out;
}

template <typename T>
Outputs onGpu(const Case& c, const Inputs& in, bool* good) {
  Outputs out = before(c, in);
  Context context;
  *good = context.open(0).ok();
  DeviceArray<Segment> segments(in.segments);
  DropoutOnDevice dropout(in.dropout);
  DeviceArray<T> x(relic::cuda::rounded<T>(in.x)), dx(relic::cuda::rounded<T>(out.dx));
  DeviceArray<float> q(in.q), keyWeight(in.keyWeight), valueWeight(in.valueWeight), valueBias(in.valueBias), dy(in.dy);
  // Memory that nothing has written yet, but for gradients.
  const auto size = [](const Floats& values) { return static_cast<int64_t>(values.size()); };
  DeviceArray<float> y(size(out.y)), stats(size(out.stats)), keyed(size(out.keyed)), pooled(size(out.pooled));
  DeviceArray<float> dkeyed(size(out.dkeyed)), dpooled(size(out.dpooled)), dq(out.dq), dkeyWeight(out.dkeyWeight);
  DeviceArray<float> dvalueWeight(out.dvalueWeight), dvalueBias(out.dvalueBias);
  const AbsorbedOperands operands{c.heads,
                                  c.width(),
                                  c.cols,
                                  {segments.data(), c.pairs()},
                                  in.longest,
                                  q.data(),
                                  {x.data(), c.format},
                                  keyWeight.data(),
                                  valueWeight.data(),
                                  valueBias.data(),
                                  dropout.onDevice};
  *good = *good && absorbedForward(context, operands, y.data(), stats.data(), keyed.data(), pooled.data()).ok();
  const auto to = [&](DeviceArray<float>& values) { return Gradient{values.data(), c.accumulate}; };
  *good = *good && absorbedBackward(context, operands, stats.data(), keyed.data(), pooled.data(), dy.data(),
                                    {dkeyed.data(), dpooled.data(), to(dq), {dx.data(), c.format}, c.accumulate,
                                     to(dkeyWeight), to(dvalueWeight), to(dvalueBias)})
                       .ok() &&
          context.synchronize().ok();
  return {y.floats(),       stats.floats(), keyed.floats(), pooled.floats(),     dkeyed.floats(),      dpooled.floats(),
          dq.floats(),      dx.floats(),    dkeyWeight.floats(), dvalueWeight.floats(), dvalueBias.floats()};
}

Outputs onGpu(const Case& c, const Inputs& in, bool* good) {
  if (c.format == Format::bfloat16) return onGpu<BFloat16>(c, in, good);
  if (c.format == Format::float16) return onGpu<Half>(c, in, good);
  return onGpu<float>(c, in, good);
}

double distance(const Floats& actual, const Floats& expected) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < expected.size(); i++) {
    difference += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    size += expected[i] * expected[i];
  }
  return std::sqrt(difference / size);
}

void compare(Checker& check, const Case& c) {
  const Inputs in = inputsOf(c);
  bool good = false;
  const Outputs actual = onGpu(c, in, &good), expected = onCpu(c, in);
  check.isTrue(c.name + ": every call succeeds", good);
  // Differences of sums in another order; dx is rounded to its format once, and once more where it is added to.
  constexpr double kFloat = 3e-6;
  const double rounding = c.format == Format::float32 ? kFloat : c.format == Format::bfloat16 ? 4e-3 : 5e-4;
  const auto near = [&](const char* what, const Floats& a, const Floats& b, double limit) {
    const double error = distance(a, b);
    if (!(error <= limit)) std::printf("%s, %s: off by %g\n", c.name.c_str(), what, error);
    check.isTrue(c.name + ": " + what, error <= limit);
  };
  near("y", actual.y, expected.y, kFloat);
  near("statistics", actual.stats, expected.stats, kFloat);
  near("keyed", actual.keyed, expected.keyed, kFloat);
  near("pooled", actual.pooled, expected.pooled, kFloat);
  near("gradient of keyed", actual.dkeyed, expected.dkeyed, 10 * kFloat);
  near("gradient of pooled", actual.dpooled, expected.dpooled, kFloat);
  near("gradient of the query", actual.dq, expected.dq, 10 * kFloat);
  near("gradient of x", actual.dx, expected.dx, rounding);
  near("gradient of the key weight", actual.dkeyWeight, expected.dkeyWeight, 10 * kFloat);
  near("gradient of the value weight", actual.dvalueWeight, expected.dvalueWeight, kFloat);
  near("gradient of the value bias", actual.dvalueBias, expected.dvalueBias, kFloat);
  const Outputs again = onGpu(c, in, &good);
  check.isTrue(c.name + ": a second run gives the same bytes",
               again.y == actual.y && again.dx == actual.dx && again.dkeyWeight == actual.dkeyWeight);
}

}  // namespace
}  // namespace relic::cuda

int main() {
  relic::Checker check;
  for (const relic::cuda::Case& each : relic::cuda::cases()) relic::cuda::compare(check, each);
  return check.finish();
}
