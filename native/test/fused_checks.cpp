// Fused ops against the ops they stand for, which ops_test compares with plain loops in double precision; linked into it.
#include "check.h"
#include "kernels/kernels.h"
#include "ops.h"
#include "pool.h"

namespace relic {
namespace {

using Floats = std::vector<float>;

size_t at(int64_t i) { return static_cast<size_t>(i); }
std::vector<double> wide(const Floats& x) { return std::vector<double>(x.begin(), x.end()); }

// Shapes: rows that share a piece, rows longer than a piece, rows of no whole block of draws.
void testMasked(Checker& checker, Context& context, const std::string& prefix, int64_t rows, int64_t cols) {
  const int64_t count = rows * cols;
  const Dropout first{{3, 4}, 5, 6, 9000, 1.25f}, second{{3, 4}, 7, 6, 20000, 1.5f}, none{{0, 0}, 0, 0, 0, 1};
  const std::string shape = dims({rows, cols});
  Random random(static_cast<uint64_t>(count));
  const Floats x = random.values(count, 3), y = random.values(count), h = random.values(count), dout = random.values(count);
  Floats expected(at(count)), actual(at(count), NAN), masked(at(count));
  const auto same = [&](const std::string& name) {
    checker.close(prefix + name + shape, actual, wide(expected), 1e-6, 1e-6);
  };

  activationForward(context, Activation::gelu, count, x.data(), expected.data());
  dropoutApply(context, first, rows, cols, expected.data(), expected.data(), false);
  activationDropoutForward(context, Activation::gelu, first, rows, cols, x.data(), actual.data());
  same("activationDropoutForward");
  for (const bool accumulate : {false, true}) {
    expected = actual = h;
    dropoutApply(context, first, rows, cols, dout.data(), masked.data(), false);
    activationBackward(context, Activation::gelu, count, x.data(), masked.data(), expected.data(), accumulate);
    activationDropoutBackward(context, Activation::gelu, first, rows, cols, x.data(), dout.data(), actual.data(), accumulate);
    same("activationDropoutBackward");
  }

  dropoutApply(context, first, rows, cols, y.data(), masked.data(), false);
  dropoutApply(context, second, rows, cols, masked.data(), masked.data(), false);
  add(context, count, x.data(), masked.data(), expected.data());
  dropoutAddForward(context, {first, second}, rows, cols, x.data(), y.data(), actual.data());
  same("dropoutAddForward");
  // Over one of its inputs, and with one dropout.
  actual = y;
  dropoutApply(context, second, rows, cols, y.data(), masked.data(), false);
  add(context, count, x.data(), masked.data(), expected.data());
  dropoutAddForward(context, {none, second}, rows, cols, x.data(), actual.data(), actual.data());
  same("dropoutAddForward in place");

  const Dropout depth{{8, 9}, 2, 6, 30000, 1.75f};
  const std::vector<int32_t> offsets = {0, static_cast<int32_t>(rows / 3), static_cast<int32_t>(rows / 3),
                                        static_cast<int32_t>(rows - 1), static_cast<int32_t>(rows)};
  const int64_t sequences = static_cast<int64_t>(offsets.size()) - 1;
  for (const bool dropped : {false, true}) {
    const Dropout& site = dropped ? first : none;
    dropoutApply(context, site, rows, cols, y.data(), masked.data(), false);
    add(context, count, h.data(), masked.data(), masked.data());
    stochasticDepthForward(context, depth, sequences, offsets.data(), cols, x.data(), masked.data(), expected.data());
    stochasticDepthAddForward(context, depth, {site, none}, sequences, offsets.data(), cols, x.data(), h.data(), y.data(),
                              actual.data());
    same("stochasticDepthAddForward");

    Floats dx = x, dh(at(count), NAN), dy = y;
    Floats expectedX = x, expectedH(at(count)), expectedY = y;
    stochasticDepthBackward(context, depth, sequences, offsets.data(), cols, dout.data(), expectedX.data(), true,
                            expectedH.data(), false);
    dropoutApply(context, site, rows, cols, expectedH.data(), expectedY.data(), true);
    stochasticDepthAddBackward(context, depth, {site, none}, sequences, offsets.data(), cols, dout.data(),
                               {dx.data(), true}, {dh.data(), false}, {dy.data(), true});
    checker.close(prefix + "stochasticDepthAddBackward dx" + shape, dx, wide(expectedX), 1e-6, 1e-6);
    checker.close(prefix + "stochasticDepthAddBackward dh" + shape, dh, wide(expectedH), 1e-6, 1e-6);
    checker.close(prefix + "stochasticDepthAddBackward dy" + shape, dy, wide(expectedY), 1e-6, 1e-6);
  }
}

// lengths: tokens of A and of B of each pair.
void testAbsorbed(Checker& checker, Context& context, const std::string& prefix, int64_t heads, int64_t headWidth,
                  int64_t cols, const std::vector<std::pair<int32_t, int32_t>>& lengths, const Dropout& dropout) {
  const auto pairs = static_cast<int64_t>(lengths.size());
  const int64_t width = heads * headWidth;
  std::vector<Segment> segments;
  int32_t tokens = 0;
  for (const auto& [a, b] : lengths) tokens += a;
  int32_t fromA = 0, fromB = tokens;
  for (int32_t i = 0; i < pairs; i++) {
    const auto [a, b] = lengths[at(i)];
    segments.push_back({i, i + 1, fromA, fromA + a, fromB, fromB + b});
    fromA += a;
    fromB += b;
    tokens += b;
  }
  Random random(static_cast<uint64_t>(tokens * cols));
  const Floats x = random.values(tokens * cols), q = random.values(pairs * width), dy = random.values(pairs * width);
  const Floats weight = random.values(2 * width * cols, 0.3f), bias = random.values(2 * width);
  const std::string shape = dims({heads, headWidth, cols, tokens}) + (dropout.threshold ? " dropout" : "");

  // Keys and values as they would be.
  Floats kv(at(tokens * 2 * width)), expected(at(pairs * width)), logSumExp(at(pairs * heads));
  linearForward(context, tokens, 2 * width, cols, x.data(), weight.data(), bias.data(), kv.data());
  const AttentionArgs plain{heads, width, segments.data(), pairs, q.data(), width, kv.data(), kv.data() + width, 2 * width, dropout};
  attentionForward(context, plain, expected.data(), logSumExp.data());
  Floats dq(at(pairs * width)), dkv(kv.size()), dx = x, dweight(weight.size()), dbias(bias.size());
  attentionBackward(context, plain, expected.data(), logSumExp.data(), dy.data(), dq.data(), dkv.data(), dkv.data() + width);
  linearBackwardInput(context, tokens, 2 * width, cols, dkv.data(), weight.data(), dx.data(), true);
  linearBackwardWeight(context, tokens, 2 * width, cols, dkv.data(), x.data(), dweight.data(), false);
  columnSums(context, tokens, 2 * width, dkv.data(), dbias.data(), false);

  const AbsorbedArgs args{heads, width, cols, segments.data(), pairs, q.data(), x.data(), weight.data(),
                          weight.data() + width * cols, bias.data() + width, dropout};
  const size_t features = at(pairs * heads * cols);
  Floats y(expected.size(), NAN), stats(at(2 * pairs * heads), NAN), keyed(features, NAN), pooled(features, NAN);
  absorbedAttentionForward(context, args, y.data(), stats.data(), keyed.data(), pooled.data());
  checker.close(prefix + "absorbedAttentionForward" + shape, y, wide(expected), 2e-5, 2e-5);
  Floats dkeyed(features, NAN), dpooled(features, NAN), dqActual(dq.size(), NAN), dxActual = x;
  Floats dweightActual(weight.size(), NAN), dvalueBias(at(width), NAN);
  absorbedAttentionBackward(context, args, stats.data(), keyed.data(), pooled.data(), dy.data(),
                            {dkeyed.data(), dpooled.data(), {dqActual.data(), false}, {dxActual.data(), true},
                             {dweightActual.data(), false}, {dweightActual.data() + width * cols, false},
                             {dvalueBias.data(), false}});
  checker.close(prefix + "absorbedAttentionBackward dq" + shape, dqActual, wide(dq), 5e-5, 5e-5);
  checker.close(prefix + "absorbedAttentionBackward dx" + shape, dxActual, wide(dx), 5e-5, 5e-5);
  checker.close(prefix + "absorbedAttentionBackward dweight" + shape, dweightActual, wide(dweight), 1e-4, 5e-5);
  checker.close(prefix + "absorbedAttentionBackward dbias" + shape, dvalueBias,
                wide(Floats(dbias.begin() + width, dbias.end())), 5e-5, 5e-5);
  // Without the gradient of x the others stay the same.
  Floats alone(dq.size(), NAN);
  absorbedAttentionBackward(context, args, stats.data(), keyed.data(), pooled.data(), dy.data(),
                            {dkeyed.data(), dpooled.data(), {alone.data(), false}, {nullptr, false}, {nullptr, false},
                             {nullptr, false}, {nullptr, false}});
  checker.isTrue(prefix + "absorbedAttentionBackward dq alone" + shape, alone == dqActual);
}

}  // namespace

void testFused(Checker& checker, Context& context, const std::string& prefix) {
  testMasked(checker, context, prefix, 41, 24);
  testMasked(checker, context, prefix, 300, 384);
  testMasked(checker, context, prefix, 9, 19);
  testMasked(checker, context, prefix, 3, 5003);
  const Dropout none{{0, 0}, 0, 0, 0, 1}, some{{11, 12}, 13, 14, 13107, 1.25f};
  for (const Dropout& dropout : {none, some}) {
    testAbsorbed(checker, context, prefix, 2, 3, 6, {{3, 5}, {1, 1}, {0, 4}}, dropout);
    testAbsorbed(checker, context, prefix, 12, 8, 96, {{40, 17}, {5, 33}}, dropout);
    // More heads than a panel has columns, and more tokens than are packed at a time.
    testAbsorbed(checker, context, prefix, 40, 2, 30, {{150, 290}}, dropout);
  }
}

}  // namespace relic
