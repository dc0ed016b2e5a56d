// Every op of the CPU engine, on every kernel set this CPU can run and with one and three threads, against plain loops
// in double precision. Shapes are ragged on purpose.
#include <algorithm>
#include <cstring>

#include "check.h"
#include "isa.h"
#include "kernels/kernels.h"
#include "ops.h"
#include "pool.h"
#include "relic/math.h"

namespace relic {
namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

// What a test needs; names of cases begin with the kernel set and the threads.
struct Bench {
  Checker& checker;
  Context& context;
  std::string prefix;

  void close(const std::string& name, const Floats& actual, const Doubles& expected, double absolute,
             double relative = 0) {
    checker.close(prefix + name, actual, expected, absolute, relative);
  }
};

// To the nearest bfloat16, ties to even.
float roundedToBf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
  std::memcpy(&x, &bits, sizeof(bits));
  return x;
}

Doubles wide(const Floats& x) { return Doubles(x.begin(), x.end()); }
size_t at(int64_t i) { return static_cast<size_t>(i); }

// --- Linear --------------------------------------------------------------------------------------

// With products of bfloat16 factors, every factor is one: what they compute is then as exact as in float32.
void testLinear(Bench& bench, int64_t rows, int64_t out, int64_t in) {
  Random random(static_cast<uint64_t>(rows * 131 + out * 17 + in));
  Floats x = random.values(rows * in), w = random.values(out * in), dy = random.values(rows * out);
  const Floats b = random.values(out);
  if (bench.context.product.wordDepth > 1) {
    for (Floats* each : {&x, &w, &dy}) std::transform(each->begin(), each->end(), each->begin(), roundedToBf16);
  }
  const std::string shape = dims({rows, out, in});
  // Sums of k products of values up to 1: their errors, of about 1e-7 each, grow as a random walk does.
  const auto tolerance = [](int64_t k) { return 1.5e-6 * std::sqrt(static_cast<double>(k)) + 1e-6; };

  Doubles y(at(rows * out)), dx(at(rows * in)), dw(at(out * in)), db(at(out));
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t o = 0; o < out; o++) {
      const double d = dy[at(r * out + o)];
      double sum = 0;
      for (int64_t i = 0; i < in; i++) {
        sum += static_cast<double>(x[at(r * in + i)]) * w[at(o * in + i)];
        dx[at(r * in + i)] += d * w[at(o * in + i)];
        dw[at(o * in + i)] += d * x[at(r * in + i)];
      }
      y[at(r * out + o)] = sum;
      db[at(o)] += d;
    }
  }
  Floats actual(at(rows * out), NAN);
  linearForward(bench.context, rows, out, in, x.data(), w.data(), nullptr, actual.data());
  bench.close("linearForward" + shape, actual, y, tolerance(in));
  for (int64_t i = 0; i < rows * out; i++) y[at(i)] += b[at(i % out)];
  linearForward(bench.context, rows, out, in, x.data(), w.data(), b.data(), actual.data());
  bench.close("linearForward bias" + shape, actual, y, tolerance(in));

  for (const bool accumulate : {false, true}) {
    const auto target = [&](int64_t size, Doubles& expected) {
      Floats start = accumulate ? random.values(size) : Floats(at(size), NAN);
      if (accumulate) {
        for (int64_t i = 0; i < size; i++) expected[at(i)] += start[at(i)];
      }
      return start;
    };
    Floats dxActual = target(rows * in, dx), dwActual = target(out * in, dw), dbActual = target(out, db);
    linearBackwardInput(bench.context, rows, out, in, dy.data(), w.data(), dxActual.data(), accumulate);
    bench.close("linearBackwardInput" + shape, dxActual, dx, tolerance(out));
    linearBackwardWeight(bench.context, rows, out, in, dy.data(), x.data(), dwActual.data(), accumulate);
    bench.close("linearBackwardWeight" + shape, dwActual, dw, tolerance(rows));
    columnSums(bench.context, rows, out, dy.data(), dbActual.data(), accumulate);
    bench.close("columnSums" + shape, dbActual, db, tolerance(rows));
  }
}

// A product with the identity shows the rounding of the factors.
void testRounding(Bench& bench) {
  constexpr int64_t kRows = 7, kWidth = 45;
  Random random(5);
  const Floats x = random.values(kRows * kWidth);
  Floats identity(at(kWidth * kWidth)), y(x.size());
  for (int64_t i = 0; i < kWidth; i++) identity[at(i * kWidth + i)] = 1;
  Doubles expected;
  for (const float value : x) expected.push_back(roundedToBf16(value));
  linearForward(bench.context, kRows, kWidth, kWidth, x.data(), identity.data(), nullptr, y.data());
  bench.close("factors of a linear layer are rounded", y, expected, 0);
  linearBackwardInput(bench.context, kRows, kWidth, kWidth, x.data(), identity.data(), y.data(), false);
  bench.close("factors of its backward are rounded", y, expected, 0);
}

// --- Norms ---------------------------------------------------------------------------------------

// Both norms share one reference: element i belongs to group groupOf(i), which is normed with its own statistics, and
// has the weight of column i % cols.
struct NormReference {
  Doubles y, stats, dx, dweight, dbias;
};

template <typename GroupOf>
NormReference norm(int64_t rows, int64_t cols, int64_t groups, GroupOf groupOf, double eps, const Floats& x,
                   const Floats& weight, const Floats& bias, const Floats& dy) {
  const int64_t count = rows * cols;
  const double size = static_cast<double>(count) / static_cast<double>(groups);
  Doubles mean(at(groups)), var(at(groups)), sum(at(groups)), dot(at(groups));
  NormReference out{Doubles(at(count)), Doubles(at(2 * groups)), Doubles(at(count)), Doubles(at(cols)),
                    Doubles(at(cols))};
  for (int64_t i = 0; i < count; i++) mean[at(groupOf(i))] += x[at(i)] / size;
  for (int64_t i = 0; i < count; i++) var[at(groupOf(i))] += std::pow(x[at(i)] - mean[at(groupOf(i))], 2) / size;
  const auto normed = [&](int64_t i) {
    return (x[at(i)] - mean[at(groupOf(i))]) / std::sqrt(var[at(groupOf(i))] + eps);
  };
  for (int64_t i = 0; i < count; i++) {
    const int64_t c = i % cols;
    out.y[at(i)] = normed(i) * weight[at(c)] + bias[at(c)];
    out.dweight[at(c)] += dy[at(i)] * normed(i);
    out.dbias[at(c)] += dy[at(i)];
    sum[at(groupOf(i))] += static_cast<double>(dy[at(i)]) * weight[at(c)];
    dot[at(groupOf(i))] += static_cast<double>(dy[at(i)]) * weight[at(c)] * normed(i);
  }
  for (int64_t i = 0; i < count; i++) {
    const size_t g = at(groupOf(i));
    out.dx[at(i)] = (dy[at(i)] * static_cast<double>(weight[at(i % cols)]) - (sum[g] + normed(i) * dot[g]) / size) /
                    std::sqrt(var[g] + eps);
  }
  for (int64_t g = 0; g < groups; g++) {
    out.stats[at(2 * g)] = mean[at(g)];
    out.stats[at(2 * g + 1)] = 1 / std::sqrt(var[at(g)] + eps);
  }
  return out;
}

void addTo(Doubles& expected, const Floats& start) {
  for (size_t i = 0; i < expected.size(); i++) expected[i] += start[i];
}

void testLayerNorm(Bench& bench, int64_t rows, int64_t cols) {
  Random random(static_cast<uint64_t>(rows * 7 + cols));
  const Floats x = random.values(rows * cols, 3), weight = random.values(cols), bias = random.values(cols);
  const Floats dy = random.values(rows * cols);
  NormReference expected = norm(
      rows, cols, rows, [&](int64_t i) { return i / cols; }, 1e-5, x, weight, bias, dy);
  const std::string shape = dims({rows, cols});
  Floats y(at(rows * cols), NAN), stats(at(2 * rows), NAN);
  layerNormForward(bench.context, rows, cols, 1e-5f, x.data(), weight.data(), bias.data(), y.data(), stats.data());
  bench.close("layerNormForward" + shape, y, expected.y, 2e-5);
  bench.close("layerNormForward stats" + shape, stats, expected.stats, 1e-6, 1e-5);
  for (const bool accumulate : {false, true}) {
    Floats dx(at(rows * cols), NAN), dweight(at(cols), NAN), dbias(at(cols), NAN);
    if (accumulate) {
      addTo(expected.dx, dx = random.values(rows * cols));
      addTo(expected.dweight, dweight = random.values(cols));
      addTo(expected.dbias, dbias = random.values(cols));
    }
    layerNormBackward(bench.context, rows, cols, x.data(), weight.data(), stats.data(), dy.data(), dx.data(),
                      accumulate, dweight.data(), accumulate, dbias.data(), accumulate);
    // The reciprocal deviation of a row of one or two columns can be large, and its error with it.
    bench.close("layerNormBackward dx" + shape, dx, expected.dx, cols < 4 ? 1e-3 : 2e-5);
    bench.close("layerNormBackward dweight" + shape, dweight, expected.dweight, 1e-4);
    bench.close("layerNormBackward dbias" + shape, dbias, expected.dbias, 1e-4);
    layerNormBackward(bench.context, rows, cols, x.data(), weight.data(), stats.data(), dy.data(), nullptr, false,
                      nullptr, false, nullptr, false);
  }
}

void testBatchNorm(Bench& bench) {
  const int64_t rows = 13, cols = 21;
  Random random(5);
  const Floats x = random.values(rows * cols, 2), weight = random.values(cols), bias = random.values(cols);
  const Floats dy = random.values(rows * cols);
  NormReference expected = norm(
      rows, cols, cols, [&](int64_t i) { return i % cols; }, 1e-5, x, weight, bias, dy);
  Floats y(at(rows * cols)), stats(at(2 * cols)), mean = random.values(cols), var(at(cols), 0.5f);
  Doubles expectedMean(at(cols)), expectedVar(at(cols)), expectedStats(at(2 * cols)), inferred(at(rows * cols));
  for (int64_t c = 0; c < cols; c++) {
    const double scale = expected.stats[at(2 * c + 1)], biased = 1 / (scale * scale) - 1e-5;
    expectedMean[at(c)] = 0.9 * mean[at(c)] + 0.1 * expected.stats[at(2 * c)];
    expectedVar[at(c)] = 0.9 * var[at(c)] + 0.1 * biased * rows / (rows - 1);
    expectedStats[at(c)] = expected.stats[at(2 * c)];
    expectedStats[at(cols + c)] = scale;
  }
  batchNormTrain(rows, cols, 1e-5f, 0.1f, x.data(), weight.data(), bias.data(), y.data(), stats.data(), mean.data(),
                 var.data());
  bench.close("batchNormTrain", y, expected.y, 1e-5);
  bench.close("batchNormTrain stats", stats, expectedStats, 1e-5);
  bench.close("batchNormTrain mean", mean, expectedMean, 1e-6);
  bench.close("batchNormTrain var", var, expectedVar, 1e-6);
  for (int64_t i = 0; i < rows * cols; i++) {
    const size_t c = at(i % cols);
    inferred[at(i)] = (x[at(i)] - expectedMean[c]) / std::sqrt(expectedVar[c] + 1e-5) * weight[c] + bias[c];
  }
  batchNormInfer(rows, cols, 1e-5f, x.data(), weight.data(), bias.data(), mean.data(), var.data(), y.data());
  bench.close("batchNormInfer", y, inferred, 1e-5);
  Floats dx = random.values(rows * cols), dweight(at(cols), NAN), dbias = random.values(cols);
  addTo(expected.dx, dx);
  addTo(expected.dbias, dbias);
  batchNormBackward(rows, cols, x.data(), weight.data(), stats.data(), dy.data(), dx.data(), true, dweight.data(),
                    false, dbias.data(), true);
  bench.close("batchNormBackward dx", dx, expected.dx, 1e-5);
  bench.close("batchNormBackward dweight", dweight, expected.dweight, 1e-5);
  bench.close("batchNormBackward dbias", dbias, expected.dbias, 1e-5);
}

// --- Elements ------------------------------------------------------------------------------------

double reference(Activation activation, double x, bool slope) {
  const double cdf = 0.5 * std::erfc(-x * std::sqrt(0.5)), s = 1 / (1 + std::exp(-x)), t = std::tanh(x);
  switch (activation) {
    case Activation::gelu:
      return slope ? cdf + x * std::exp(-0.5 * x * x) / std::sqrt(2 * 3.14159265358979323846) : x * cdf;
    case Activation::relu:
      return slope ? x > 0 : (x > 0 ? x : 0);
    case Activation::silu:
      return slope ? s * (1 + x * (1 - s)) : x * s;
    case Activation::tanh:
      return slope ? 1 - t * t : t;
  }
  return NAN;
}

void testActivations(Bench& bench, int64_t count) {
  Random random(static_cast<uint64_t>(count));
  Floats x = random.values(count, 8);
  const float special[] = {0, -0.0f, 100, -100, 1e-20f, 5.3f, -5.3f, 1e30f, -1e30f, 88.5f, -88.5f};
  for (size_t i = 0; i < std::size(special) && i < x.size(); i++) x[i] = special[i];
  const Floats dy = random.values(count);
  const char* names[] = {"gelu", "relu", "silu", "tanh"};
  for (int a = 0; a < 4; a++) {
    const Activation activation = static_cast<Activation>(a);
    const std::string shape = names[a] + dims({count});
    Doubles y, dx;
    for (size_t i = 0; i < x.size(); i++) {
      y.push_back(reference(activation, x[i], false));
      dx.push_back(dy[i] * reference(activation, x[i], true));
    }
    Floats actual(x.size(), NAN);
    activationForward(bench.context, activation, count, x.data(), actual.data());
    // An error of 1.3e-7 in the normal distribution is multiplied by x, up to 5.3.
    bench.close("activationForward " + shape, actual, y, 7e-7, 4e-7);
    activationBackward(bench.context, activation, count, x.data(), dy.data(), actual.data(), false);
    bench.close("activationBackward " + shape, actual, dx, 6e-7, 4e-7);
    Floats sum = random.values(count);
    addTo(dx, sum);
    activationBackward(bench.context, activation, count, x.data(), dy.data(), sum.data(), true);
    bench.close("activationBackward add " + shape, sum, dx, 1e-6, 4e-7);
    Floats nan(x.size(), NAN);
    activationForward(bench.context, activation, count, nan.data(), actual.data());
    const bool kept = std::all_of(actual.begin(), actual.end(), [](float v) { return std::isnan(v); });
    bench.checker.isTrue(bench.prefix + "NaN through " + names[a], activation == Activation::relu ? !kept : kept);
  }
}

double mask(const Dropout& d, int64_t row, int64_t col) {
  if (d.threshold == 0) return 1;
  const uint32_t draw =
      maskDraw(d.key[0], d.key[1], d.site, d.step, static_cast<uint32_t>(row), static_cast<uint32_t>(col));
  return draw < d.threshold ? 0.0 : d.scale;
}

void testDropout(Bench& bench, int64_t rows, int64_t cols) {
  const Dropout dropout{{0xffffffffu, 0x80000001u}, 0xdeadbeefu, 4000000000u, 20000, 1.5f};
  Random random(static_cast<uint64_t>(rows + cols));
  const Floats in = random.values(rows * cols);
  const std::string shape = dims({rows, cols});
  Doubles expected(at(rows * cols));
  for (int64_t i = 0; i < rows * cols; i++)
    expected[at(i)] = static_cast<float>(mask(dropout, i / cols, i % cols) * in[at(i)]);
  Floats out(at(rows * cols), NAN);
  dropoutApply(bench.context, dropout, rows, cols, in.data(), out.data(), false);
  bench.close("dropoutApply" + shape, out, expected, 0);
  out = random.values(rows * cols);
  addTo(expected, out);
  dropoutApply(bench.context, dropout, rows, cols, in.data(), out.data(), true);
  bench.close("dropoutApply add" + shape, out, expected, 1e-6);
  const Dropout none{{1, 2}, 3, 4, 0, 1};
  dropoutApply(bench.context, none, rows, cols, in.data(), out.data(), false);
  bench.close("dropoutApply none" + shape, out, wide(in), 0);
}

void testSums(Bench& bench, int64_t count) {
  Random random(static_cast<uint64_t>(count));
  const Floats a = random.values(count), b = random.values(count);
  Floats y(at(count), NAN);
  Doubles expected = wide(a);
  copyOrAdd(bench.context, count, a.data(), y.data(), false);
  bench.close("copyOrAdd", y, expected, 0);
  addTo(expected, b);
  add(bench.context, count, a.data(), b.data(), y.data());
  bench.close("add", y, expected, 2e-7);
  addTo(expected, a);
  copyOrAdd(bench.context, count, a.data(), y.data(), true);
  bench.close("copyOrAdd add", y, expected, 4e-7);
  for (double& value : expected) value *= -2.5;
  scale(bench.context, count, -2.5f, y.data());
  bench.close("scale", y, expected, 1e-6);
}

void testStochasticDepth(Bench& bench) {
  const int32_t offsets[] = {0, 5, 6, 6, 40, 57, 58, 90};
  const int64_t sequences = 7, cols = 19, count = 90 * cols;
  const Dropout dropout{{3, 4}, 5, 6, 30000, 1.25f};
  Random random(8);
  const Floats x = random.values(count), y = random.values(count), dout = random.values(count);
  Floats out(at(count), NAN), dx = random.values(count), dy(at(count), NAN);
  Doubles expected(at(count)), expectedX(at(count)), expectedY(at(count));
  for (int64_t s = 0; s < sequences; s++) {
    const double m = mask(dropout, s, 0);
    for (int64_t i = offsets[s] * cols; i < offsets[s + 1] * cols; i++) {
      expected[at(i)] = x[at(i)] + m * (y[at(i)] - x[at(i)]);
      expectedX[at(i)] = dx[at(i)] + (1 - m) * dout[at(i)];
      expectedY[at(i)] = m * dout[at(i)];
    }
  }
  stochasticDepthForward(bench.context, dropout, sequences, offsets, cols, x.data(), y.data(), out.data());
  bench.close("stochasticDepthForward", out, expected, 1e-6);
  stochasticDepthBackward(bench.context, dropout, sequences, offsets, cols, dout.data(), dx.data(), true, dy.data(),
                          false);
  bench.close("stochasticDepthBackward dx", dx, expectedX, 1e-6);
  bench.close("stochasticDepthBackward dy", dy, expectedY, 1e-6);
}

void testLossAndOptimizers(Bench& bench) {
  const int64_t count = 5003;
  Random random(9);
  const Floats logits = random.values(count, 20), dloss = random.values(count);
  Floats labels(at(count)), loss(at(count)), dlogits = random.values(count);
  Doubles expectedLoss(at(count)), expectedSlope(at(count));
  for (int64_t i = 0; i < count; i++) {
    labels[at(i)] = static_cast<float>(i % 2);
    const double label = labels[at(i)] * 0.875 + 0.0625, z = logits[at(i)], s = 1 / (1 + std::exp(-z));
    expectedLoss[at(i)] = -3 * label * std::log(s) - (1 - label) * std::log1p(-s);
    expectedSlope[at(i)] = dlogits[at(i)] + dloss[at(i)] * ((1 - label) * s - 3 * label * (1 - s));
  }
  bceForward(count, 3, 0.125f, logits.data(), labels.data(), loss.data());
  bench.close("bceForward", loss, expectedLoss, 1e-6, 1e-6);
  bceBackward(count, 3, 0.125f, logits.data(), labels.data(), dloss.data(), dlogits.data(), true);
  bench.close("bceBackward", dlogits, expectedSlope, 1e-6);

  Floats p = random.values(count), m(at(count)), v(at(count)), q = p, buffer(at(count), NAN);
  Doubles pp = wide(p), mm(at(count)), vv(at(count)), qq = pp, bb(at(count));
  for (int64_t step = 1; step <= 3; step++) {
    const Floats g = random.values(count);
    for (size_t i = 0; i < g.size(); i++) {
      mm[i] += 0.1 * (g[i] - mm[i]);
      vv[i] = 0.999 * vv[i] + 0.001 * g[i] * g[i];
      pp[i] = pp[i] * (1 - 0.01 * 0.1) -
              0.01 / (1 - std::pow(0.9, step)) * mm[i] / (std::sqrt(vv[i] / (1 - std::pow(0.999, step))) + 1e-8);
      const double d = g[i] + 0.1 * qq[i];
      bb[i] = step == 1 ? d : 0.9 * bb[i] + d;
      qq[i] -= 0.01 * bb[i];
    }
    adamwUpdate(bench.context, count, p.data(), g.data(), m.data(), v.data(), 0.01, 0.9, 0.999, 1e-8, 0.1, step);
    sgdUpdate(bench.context, count, q.data(), g.data(), buffer.data(), 0.01, 0.9, 0.1, step);
  }
  bench.close("adamw p", p, pp, 1e-6);
  bench.close("adamw m", m, mm, 1e-6);
  bench.close("adamw v", v, vv, 1e-8, 1e-6);
  bench.close("sgd p", q, qq, 1e-6);
}

}  // namespace

// attention_checks.cpp, fused_checks.cpp
void testAttention(Checker& checker, Context& context, const std::string& prefix);
void testFused(Checker& checker, Context& context, const std::string& prefix);

namespace {

void testPhilox(Checker& checker) {
  // Written by src/random/philox.ts.
  uint32_t a[4] = {7, 2, 3, 11}, b[4] = {0xfffffff0u, 2, 0xdeadbeefu, 4000000000u};
  philox4x32(a, 0x12345678u, 0x9abcdef0u, 7);
  philox4x32(b, 0xffffffffu, 0x80000001u, 7);
  const uint32_t expectedA[] = {0xb6d7f2ffu, 0xc66f9204u, 0x249fa8b0u, 0xd38e9889u};
  const uint32_t expectedB[] = {0xdba9e879u, 0xa85417cau, 0x23808862u, 0xbb5b4f79u};
  checker.isTrue("philox a", std::memcmp(a, expectedA, sizeof(a)) == 0);
  checker.isTrue("philox b", std::memcmp(b, expectedB, sizeof(b)) == 0);
}

void testDraws(Bench& bench) {
  const MaskKey key{{0x12345678u, 0x9abcdef0u}, 3, 11};
  for (const int64_t blocks : {1, 2, 3, 7, 8, 13, 48}) {
    const int64_t rows = 11, first = 5;
    std::vector<uint16_t> draws(at(rows * blocks * 8 + 128));
    bench.context.kernels.draw(key, 0xfffffff8u, 3, rows, first, blocks, draws.data());
    bool same = true;
    for (int64_t i = 0; i < rows * blocks * 8; i++) {
      const uint32_t row = 0xfffffff8u + 3 * static_cast<uint32_t>(i / (blocks * 8));
      const uint32_t col = static_cast<uint32_t>(first * 8 + i % (blocks * 8));
      same = same && draws[at(i)] == maskDraw(key.key[0], key.key[1], key.site, key.step, row, col);
    }
    bench.checker.isTrue(bench.prefix + "draw" + dims({blocks}), same);
  }
}

void testLinearShapes(Bench& bench) {
  for (int64_t rows : {1, 2, 5, 17, 130}) {
    for (int64_t out : {1, 7, 33, 100}) {
      for (int64_t in : {1, 6, 31, 200}) testLinear(bench, rows, out, in);
    }
  }
  testLinear(bench, 1500, 1, 9);
  testLinear(bench, 9001, 35, 70);
  // Half of this depth is cut into longer blocks than the whole would be.
  testLinear(bench, 4609, 200, 70);
  testLinear(bench, 301, 1100, 130);
  testLinear(bench, 77, 260, 1537);
}

void testBf16(Checker& checker, const Kernels& kernels, int threads) {
  const ProductKernels* product = bf16ProductOf(kernels);
  checker.isTrue(std::string(kernels.name) + " has products of bfloat16 factors", product != nullptr);
  if (product == nullptr) return;
  Pool pool(threads);
  Context context{pool, kernels, *product};
  Bench bench{checker, context, std::string(kernels.name) + " bf16" + dims({threads}) + " threads: "};
  testLinearShapes(bench);
  testRounding(bench);
}

void testAll(Checker& checker, const Kernels& kernels, int threads) {
  Pool pool(threads);
  Context context{pool, kernels};
  Bench bench{checker, context, kernels.name + dims({threads}) + " threads: "};
  testLinearShapes(bench);
  for (int64_t cols : {1, 3, 8, 16, 40, 47, 384, 1537}) {
    testLayerNorm(bench, 3, cols);
    testLayerNorm(bench, 301, cols);
  }
  testBatchNorm(bench);
  for (int64_t count : {1, 15, 16, 37, 60000}) testActivations(bench, count);
  for (int64_t cols : {1, 5, 8, 24, 100, 384, 3001}) {
    testDropout(bench, 1, cols);
    testDropout(bench, 23, cols);
  }
  testDropout(bench, 700, 200);
  testSums(bench, 13);
  testSums(bench, 300001);
  testStochasticDepth(bench);
  testLossAndOptimizers(bench);
  testDraws(bench);
  testAttention(checker, context, bench.prefix);
  testFused(checker, context, bench.prefix);
}

}  // namespace
}  // namespace relic

int main() {
  relic::Checker checker;
  relic::testPhilox(checker);
  checker.isTrue("an unknown kernel set is refused", relic::kernelsFor("avx1024") == nullptr);
  for (const int threads : {1, 3}) {
    for (const char* name : relic::availableIsas()) relic::testAll(checker, *relic::kernelsFor(name), threads);
    for (const char* name : relic::bf16Isas()) relic::testBf16(checker, *relic::kernelsFor(name), threads);
  }
  return checker.finish();
}
