// Attention and its gradients against plain loops in double precision; linked into ops_test.
#include <algorithm>
#include <cstring>

#include "check.h"
#include "kernels/kernels.h"
#include "ops.h"
#include "pool.h"
#include "relic/math.h"

namespace relic {
namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

size_t at(int64_t i) { return static_cast<size_t>(i); }

// Queries in q (queryRows, ldq) from column qAt; keys and values in kv (keyRows, ldkv) from kAt and vAt.
struct Case {
  std::string name;
  int64_t heads, headWidth;
  std::vector<Segment> segments;
  int64_t queryRows, keyRows;
  Dropout dropout;

  int64_t width() const { return heads * headWidth; }
  int64_t ldq() const { return width() + 3; }
  int64_t ldkv() const { return 2 * width() + 5; }
};

struct Reference {
  Doubles out, logSumExp, dq, dkv;
};

std::vector<int64_t> keysOf(const Segment& s) {
  std::vector<int64_t> keys;
  for (int64_t i = s.keyFrom; i < s.keyTo; i++) keys.push_back(i);
  for (int64_t i = s.key2From; i < s.key2To; i++) keys.push_back(i);
  return keys;
}

Reference reference(const Case& c, const Floats& q, const Floats& kv, const Floats& dout) {
  const int64_t width = c.width(), d = c.headWidth;
  Reference r{Doubles(at(c.queryRows * width)), Doubles(at(c.queryRows * c.heads)), Doubles(q.size()),
              Doubles(kv.size())};
  const double factor = 1 / std::sqrt(static_cast<double>(d));
  for (const Segment& segment : c.segments) {
    const std::vector<int64_t> keys = keysOf(segment);
    for (int64_t h = 0; h < c.heads; h++) {
      for (int64_t i = segment.queryFrom; i < segment.queryTo; i++) {
        const size_t qAt = at(i * c.ldq() + h * d), outAt = at(i * width + h * d);
        const auto keyAt = [&](size_t j) { return at(keys[j] * c.ldkv() + h * d); };
        const auto valueAt = [&](size_t j) { return keyAt(j) + at(width); };
        Doubles p(keys.size()), m(keys.size(), 1.0), dp(keys.size());
        double largest = -INFINITY, sum = 0, dot = 0;
        for (size_t j = 0; j < keys.size(); j++) {
          for (size_t e = 0; e < at(d); e++) p[j] += factor * q[qAt + e] * kv[keyAt(j) + e];
          largest = std::max(largest, p[j]);
        }
        for (double& value : p) sum += value = std::exp(value - largest);
        r.logSumExp[at(i * c.heads + h)] = largest + std::log(sum);
        for (size_t j = 0; j < keys.size(); j++) {
          p[j] /= sum;
          if (c.dropout.threshold > 0) {
            const uint32_t draw = maskDraw(c.dropout.key[0], c.dropout.key[1], c.dropout.site, c.dropout.step,
                                           static_cast<uint32_t>(i * c.heads + h), static_cast<uint32_t>(j));
            m[j] = draw < c.dropout.threshold ? 0.0 : c.dropout.scale;
          }
          for (size_t e = 0; e < at(d); e++) {
            r.out[outAt + e] += p[j] * m[j] * kv[valueAt(j) + e];
            r.dkv[valueAt(j) + e] += p[j] * m[j] * dout[outAt + e];
            dp[j] += m[j] * dout[outAt + e] * kv[valueAt(j) + e];
          }
          dot += p[j] * dp[j];
        }
        for (size_t j = 0; j < keys.size(); j++) {
          const double ds = p[j] * (dp[j] - dot) * factor;
          for (size_t e = 0; e < at(d); e++) {
            r.dq[qAt + e] += ds * kv[keyAt(j) + e];
            r.dkv[keyAt(j) + e] += ds * q[qAt + e];
          }
        }
      }
    }
  }
  return r;
}

void run(Checker& checker, Context& context, const std::string& prefix, const Case& c) {
  Random random(static_cast<uint64_t>(c.headWidth * 100 + c.queryRows));
  const Floats q = random.values(c.queryRows * c.ldq(), 2), kv = random.values(c.keyRows * c.ldkv(), 2);
  const Floats dout = random.values(c.queryRows * c.width());
  Reference expected = reference(c, q, kv, dout);
  const AttentionArgs args{c.heads,  c.width(), c.segments.data(), static_cast<int64_t>(c.segments.size()),
                           q.data(), c.ldq(),   kv.data(),         kv.data() + c.width(),
                           c.ldkv(), c.dropout};
  // Zeros, since rows of no segment are left alone.
  Floats out(at(c.queryRows * c.width())), logSumExp(at(c.queryRows * c.heads));
  attentionForward(context, args, out.data(), logSumExp.data());
  checker.close(prefix + "attentionForward " + c.name, out, expected.out, 3e-6);
  checker.close(prefix + "attentionForward logSumExp " + c.name, logSumExp, expected.logSumExp, 3e-6);

  Floats dq = random.values(c.queryRows * c.ldq()), dkv = random.values(c.keyRows * c.ldkv());
  for (size_t i = 0; i < dq.size(); i++) expected.dq[i] += dq[i];
  for (size_t i = 0; i < dkv.size(); i++) expected.dkv[i] += dkv[i];
  const Floats dqStart = dq, dkvStart = dkv;
  const auto backward = [&](float* toQ, float* toKv) {
    attentionBackward(context, args, out.data(), logSumExp.data(), dout.data(), toQ, toKv,
                      toKv ? toKv + c.width() : nullptr);
  };
  backward(dq.data(), dkv.data());
  checker.close(prefix + "attentionBackward dq " + c.name, dq, expected.dq, 2e-5);
  checker.close(prefix + "attentionBackward dkv " + c.name, dkv, expected.dkv, 5e-5);
  Floats dqAlone = dqStart, dkvAlone = dkvStart;
  backward(dqAlone.data(), nullptr);
  backward(nullptr, dkvAlone.data());
  checker.isTrue(prefix + "attentionBackward dq alone " + c.name, dqAlone == dq);
  checker.isTrue(prefix + "attentionBackward dkv alone " + c.name, dkvAlone == dkv);
}

// A NaN in a key reaches every query that sees it, and no other.
void testNan(Checker& checker, Context& context, const std::string& prefix) {
  const int64_t width = 20, rows = 40;
  const std::vector<Segment> segments = {{0, 20, 0, 20, 0, 0}, {20, 21, 20, 21, 0, 0}, {21, 22, 21, 40, 0, 0}};
  Random random(3);
  const Floats q = random.values(rows * width);
  Floats k = random.values(rows * width), out(at(rows * width)), logSumExp(at(rows));
  for (const int64_t row : {3, 30}) k[at(row * width + 19)] = NAN;
  const AttentionArgs args{1,     width,    segments.data(), 3,     q.data(),
                           width, k.data(), q.data(),        width, {{0, 0}, 0, 0, 0, 1}};
  attentionForward(context, args, out.data(), logSumExp.data());
  bool reached = true, kept = true;
  for (int64_t i = 0; i < 22 * width; i++) {
    if (i / width == 20) {
      kept = kept && !std::isnan(out[at(i)]);
    } else {
      reached = reached && std::isnan(out[at(i)]);
    }
  }
  checker.isTrue(prefix + "attention NaN is seen", reached);
  checker.isTrue(prefix + "attention NaN stays in its segment", kept);
}

}  // namespace

void testAttention(Checker& checker, Context& context, const std::string& prefix) {
  testNan(checker, context, prefix);
  const Dropout none{{0, 0}, 0, 0, 0, 1}, some{{11, 12}, 13, 14, 13107, 1.25f};
  for (const Dropout& dropout : {none, some}) {
    const std::string suffix = dropout.threshold ? " dropout" : "";
    for (int64_t width : {4, 8, 12, 16, 32, 48, 64, 80, 96, 128}) {
      const std::vector<Segment> segments = {
          {0, 1, 0, 3, 0, 0},       {1, 18, 3, 20, 0, 0},       {18, 26, 20, 28, 0, 0},    {26, 69, 28, 61, 0, 0},
          {69, 200, 61, 192, 0, 0}, {200, 202, 192, 193, 0, 0}, {202, 205, 193, 340, 0, 0}};
      run(checker, context, prefix, {"ragged" + dims({width}) + suffix, 3, width, segments, 205, 340, dropout});
    }
    const std::vector<Segment> cls = {{0, 1, 0, 9, 60, 77}, {1, 2, 9, 60, 77, 110}, {2, 3, 110, 111, 0, 0}};
    run(checker, context, prefix, {"cls" + suffix, 4, 24, cls, 3, 111, dropout});
    run(checker, context, prefix, {"cls 32" + suffix, 12, 32, cls, 3, 111, dropout});
    // Several queries with two ranges each, and keys for more than one block of queries.
    run(checker, context, prefix, {"two ranges" + suffix, 2, 20, {{0, 7, 5, 12, 20, 31}}, 7, 31, dropout});
    run(checker, context, prefix, {"long" + suffix, 1, 16, {{0, 90, 0, 2100, 0, 0}}, 90, 2100, dropout});
  }
}

}  // namespace relic
