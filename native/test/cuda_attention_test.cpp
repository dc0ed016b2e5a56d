// The attention kernels of the GPU engine on the emulator: forward and backward against plain loops in double precision
// on the same rounded inputs, against the CPU engine with the same masks, and the work lists' properties.
#include <algorithm>
#include <cstring>

#include "check.h"
#include "cpu/isa.h"
#include "cpu/kernels/kernels.h"
#include "cpu/pool.h"
#include "cuda/attention.h"
#include "device_array.h"
#include "relic/math.h"

namespace relic::cuda {
namespace {

using Doubles = std::vector<double>;

// --- Cases ---------------------------------------------------------------------------------------

// Queries in q (queryRows, ldq); keys from column 0 and values from column width of kv (keyRows, ldkv).
struct Case {
  std::string name;
  int heads, headWidth;
  std::vector<Segment> segments;
  int64_t queryRows, keyRows;
  Dropout dropout;
  int64_t gap;  // columns behind those of q and of kv

  bool single() const { return segments[0].key2To > segments[0].key2From; }
  int64_t width() const { return static_cast<int64_t>(heads) * headWidth; }
  int64_t ldq() const { return width() + gap; }
  int64_t ldkv() const { return 2 * width() + gap; }
};

// The largest relative L2 error. One rounding to a unit u in the last place of numbers of any size has 0.42 u; results
// and probabilities are rounded both, which makes 0.6 u of out. ds also has in it the rounding of out, by way of the
// dot product of rows.
struct Tolerance {
  double out, gradients;
  // Where a few numbers are compared, or where dq is small beside the dot products that it is a difference of: one
  // query and many keys that have nothing in common.
  Tolerance loose() const { return {1.2 * out, 2.5 * gradients}; }
};
template <typename T>
constexpr Tolerance kTolerance = {1e-5, 1e-5};
template <>
constexpr Tolerance kTolerance<BFloat16> = {0.6 / 256, 0.8 / 256};
template <>
constexpr Tolerance kTolerance<Half> = {0.6 / 2048, 0.8 / 2048};
constexpr double kLogSumExpTolerance = 1e-5;

struct Reference {
  Doubles out, logSumExp, dq, dkv;
  std::vector<bool> queryUsed, keyUsed;
};

std::vector<int64_t> keysOf(const Segment& s) {
  std::vector<int64_t> keys;
  for (int64_t i = s.keyFrom; i < s.keyTo; i++) keys.push_back(i);
  for (int64_t i = s.key2From; i < s.key2To; i++) keys.push_back(i);
  return keys;
}

double maskOf(const Dropout& d, int64_t row, size_t key) {
  if (d.threshold == 0) return 1;
  const uint32_t draw =
      maskDraw(d.key[0], d.key[1], d.site, d.step, static_cast<uint32_t>(row), static_cast<uint32_t>(key));
  return draw < d.threshold ? 0.0 : d.scale;
}

void addQuery(const Case& c, const std::vector<int64_t>& keys, int64_t query, int64_t head, const Floats& q,
              const Floats& kv, const Floats& dout, Reference& r) {
  const size_t d = at(c.headWidth), width = at(c.width()), column = at(head) * d;
  const size_t qAt = at(query * c.ldq()) + column, outAt = at(query) * width + column;
  const double factor = 1 / std::sqrt(static_cast<double>(d));
  const auto keyAt = [&](size_t j) { return at(keys[j] * c.ldkv()) + column; };
  Doubles p(keys.size()), m(keys.size()), dp(keys.size());
  double largest = -INFINITY, sum = 0, dot = 0;
  for (size_t j = 0; j < keys.size(); j++) {
    for (size_t e = 0; e < d; e++) p[j] += factor * q[qAt + e] * kv[keyAt(j) + e];
    largest = std::max(largest, p[j]);
  }
  for (double& value : p) sum += value = std::exp(value - largest);
  r.logSumExp[at(query * c.heads + head)] = largest + std::log(sum);
  for (size_t j = 0; j < keys.size(); j++) {
    p[j] /= sum;
    m[j] = maskOf(c.dropout, query * c.heads + head, j);
    const size_t valueAt = keyAt(j) + width;
    for (size_t e = 0; e < d; e++) {
      r.out[outAt + e] += p[j] * m[j] * kv[valueAt + e];
      r.dkv[valueAt + e] += p[j] * m[j] * dout[outAt + e];
      dp[j] += m[j] * dout[outAt + e] * kv[valueAt + e];
    }
    dot += p[j] * dp[j];
  }
  for (size_t j = 0; j < keys.size(); j++) {
    const double ds = p[j] * (dp[j] - dot) * factor;
    for (size_t e = 0; e < d; e++) {
      r.dq[qAt + e] += ds * kv[keyAt(j) + e];
      r.dkv[keyAt(j) + e] += ds * q[qAt + e];
    }
  }
}

Reference reference(const Case& c, const Floats& q, const Floats& kv, const Floats& dout) {
  Reference r{Doubles(at(c.queryRows * c.width())), Doubles(at(c.queryRows * c.heads)), Doubles(q.size()),
              Doubles(kv.size()), std::vector<bool>(at(c.queryRows)), std::vector<bool>(at(c.keyRows))};
  for (const Segment& segment : c.segments) {
    const std::vector<int64_t> keys = keysOf(segment);
    for (const int64_t key : keys) r.keyUsed[at(key)] = true;
    for (int64_t query = segment.queryFrom; query < segment.queryTo; query++) {
      r.queryUsed[at(query)] = true;
      for (int64_t head = 0; head < c.heads; head++) addQuery(c, keys, query, head, q, kv, dout, r);
    }
  }
  return r;
}

// --- Comparisons ---------------------------------------------------------------------------------

double relativeError(const Floats& actual, const Doubles& expected) {
  double error = 0, size = 0;
  for (size_t i = 0; i < actual.size(); i++) {
    error += std::pow(actual[i] - expected[i], 2);
    size += std::pow(expected[i], 2);
  }
  return std::sqrt(error / size);
}

// Relative L2 over the first `width` columns of used rows; all else must be what it was.
void checkRows(Checker& checker, const std::string& name, const Floats& actual, const Doubles& expected,
               const Floats& before, const std::vector<bool>& used, int64_t ld, int64_t width, double tolerance) {
  Floats written;
  Doubles wanted;
  bool untouched = true;
  for (size_t i = 0; i < actual.size(); i++) {
    const int64_t row = static_cast<int64_t>(i) / ld, col = static_cast<int64_t>(i) % ld;
    if (used[at(row)] && col < width) {
      written.push_back(actual[i]);
      wanted.push_back(expected[i]);
    } else {
      untouched = untouched && std::memcmp(&actual[i], &before[i], sizeof(float)) == 0;
    }
  }
  const double error = relativeError(written, wanted);
  checker.isTrue(name + ": relative L2 error " + std::to_string(error), error <= tolerance);
  checker.isTrue(name + ": the rest is untouched", untouched);
}

// --- Running a case ------------------------------------------------------------------------------

template <typename T>
struct Runner {
  const Case& c;
  DeviceArray<T> q, kv, dout, out;
  DeviceArray<float> logSumExp, dots;
  AttentionWork work;
  DeviceArray<AttentionTile> queryTiles, keyTiles;
  DeviceArray<Segment> segments;
  DropoutOnDevice dropout;

  Runner(const Case& c_, const std::vector<T>& q_, const std::vector<T>& kv_, const std::vector<T>& dout_)
      : c(c_),
        q(q_),
        kv(kv_),
        dout(dout_),
        out(c.queryRows * c.width()),
        logSumExp(c.queryRows * c.heads),
        dots(c.queryRows * c.heads),
        work(c.single() ? AttentionWork{} : attentionWork(c.segments)),
        queryTiles(work.queryTiles),
        keyTiles(work.keyTiles),
        segments(c.segments),
        dropout(c.dropout) {}

  AttentionArgs<T> args() {
    return {c.heads, c.headWidth, q.data(), c.ldq(), kv.data(), kv.data() + c.width(), c.ldkv(), dropout.onDevice};
  }
  template <typename Item>
  static DeviceList<Item> listOf(DeviceArray<Item>& items, size_t count) {
    return {items.data(), static_cast<int64_t>(count)};
  }

  cudaError_t forward() {
    if (c.single()) {
      return attentionSingleForward(args(), listOf(segments, c.segments.size()), out.data(), logSumExp.data(), nullptr);
    }
    return attentionForward(args(), listOf(queryTiles, work.queryTiles.size()), out.data(), logSumExp.data(), nullptr);
  }
  cudaError_t backward(T* dq, T* dkv, bool accumulate) {
    const AttentionGradients<T> gradients{out.data(), logSumExp.data(), dout.data(), dq,        dkv,
                                          dkv ? dkv + c.width() : nullptr, accumulate, accumulate};
    if (c.single()) {
      return attentionSingleBackward(args(), gradients, listOf(segments, c.segments.size()), nullptr);
    }
    return attentionBackward(args(), gradients, listOf(queryTiles, work.queryTiles.size()),
                             listOf(keyTiles, work.keyTiles.size()), dots.data(), nullptr);
  }
};

// NaN in unused rows and behind the first `width` columns.
template <typename T>
void forget(std::vector<T>& values, const std::vector<bool>& used, int64_t ld, int64_t width) {
  for (size_t i = 0; i < values.size(); i++) {
    const int64_t row = static_cast<int64_t>(i) / ld, col = static_cast<int64_t>(i) % ld;
    if (!used[at(row)] || col >= width) values[i] = fromFloat<T>(NAN);
  }
}

template <typename T>
void run(Checker& checker, const Case& c, Tolerance tolerance = kTolerance<T>) {
  Random random(static_cast<uint64_t>(c.headWidth * 100 + c.queryRows));
  std::vector<T> q = rounded<T>(random.values(c.queryRows * c.ldq(), 2));
  std::vector<T> kv = rounded<T>(random.values(c.keyRows * c.ldkv(), 2));
  std::vector<T> dout = rounded<T>(random.values(c.queryRows * c.width()));
  const auto wide = [](const std::vector<T>& values) {
    Floats floats;
    for (const T value : values) floats.push_back(toFloat(value));
    return floats;
  };
  Reference expected = reference(c, wide(q), wide(kv), wide(dout));
  // What belongs to no segment may be anything.
  forget(q, expected.queryUsed, c.ldq(), c.width());
  forget(kv, expected.keyUsed, c.ldkv(), 2 * c.width());
  forget(dout, expected.queryUsed, c.width(), c.width());

  Runner<T> runner(c, q, kv, dout);
  const Floats noOut = runner.out.floats(), noLog = runner.logSumExp.floats();
  checker.isTrue(c.name + " forward runs", runner.forward() == cudaSuccess);
  checkRows(checker, c.name + " out", runner.out.floats(), expected.out, noOut, expected.queryUsed, c.width(),
            c.width(), tolerance.out);
  const Floats logs = runner.logSumExp.floats();
  bool close = true;
  for (size_t i = 0; i < logs.size(); i++) {
    const bool used = expected.queryUsed[i / at(c.heads)];
    close = close && (used ? std::fabs(logs[i] - expected.logSumExp[i]) <= kLogSumExpTolerance
                           : std::memcmp(&logs[i], &noLog[i], sizeof(float)) == 0);
  }
  checker.isTrue(c.name + " log-sum-exp", close);

  DeviceArray<T> dq(c.queryRows * c.ldq()), dkv(c.keyRows * c.ldkv());
  const Floats noDq = dq.floats(), noDkv = dkv.floats();
  checker.isTrue(c.name + " backward runs", runner.backward(dq.data(), dkv.data(), false) == cudaSuccess);
  checkRows(checker, c.name + " dq", dq.floats(), expected.dq, noDq, expected.queryUsed, c.ldq(), c.width(),
            tolerance.gradients);
  checkRows(checker, c.name + " dkv", dkv.floats(), expected.dkv, noDkv, expected.keyUsed, c.ldkv(), 2 * c.width(),
            tolerance.gradients);

  // Adding to what is there, one target at a time.
  const std::vector<T> dqStart = rounded<T>(random.values(c.queryRows * c.ldq()));
  const std::vector<T> dkvStart = rounded<T>(random.values(c.keyRows * c.ldkv()));
  DeviceArray<T> dqSum(dqStart), dkvSum(dkvStart);
  runner.backward(dqSum.data(), nullptr, true);
  runner.backward(nullptr, dkvSum.data(), true);
  for (size_t i = 0; i < expected.dq.size(); i++) expected.dq[i] += toFloat(dqStart[i]);
  for (size_t i = 0; i < expected.dkv.size(); i++) expected.dkv[i] += toFloat(dkvStart[i]);
  checkRows(checker, c.name + " dq added", dqSum.floats(), expected.dq, wide(dqStart), expected.queryUsed, c.ldq(),
            c.width(), tolerance.gradients);
  checkRows(checker, c.name + " dkv added", dkvSum.floats(), expected.dkv, wide(dkvStart), expected.keyUsed, c.ldkv(),
            2 * c.width(), tolerance.gradients);

  DeviceArray<T> dqAgain(c.queryRows * c.ldq()), dkvAgain(c.keyRows * c.ldkv());
  runner.backward(dqAgain.data(), dkvAgain.data(), false);
  const auto same = [](DeviceArray<T>& a, DeviceArray<T>& b, int64_t count) {
    return std::memcmp(a.data(), b.data(), at(count) * sizeof(T)) == 0;
  };
  checker.isTrue(c.name + " backward repeats", same(dq, dqAgain, c.queryRows * c.ldq()) &&
                                                   same(dkv, dkvAgain, c.keyRows * c.ldkv()));
}

const Dropout kNone{{0, 0}, 0, 0, 0, 1}, kSome{{11, 12}, 13, 14, 13107, 1.25f};

// Self-attention of sequences with these lengths, with rows before and behind that belong to none.
Case selfCase(const std::string& name, int heads, int headWidth, const std::vector<int32_t>& lengths,
              const Dropout& dropout, int64_t gap) {
  Case c{name + dims({heads, headWidth}) + (dropout.threshold ? " dropout" : ""), heads, headWidth, {}, 0, 0, dropout,
         gap};
  int32_t row = 2;
  for (const int32_t length : lengths) {
    c.segments.push_back({row, row + length, row, row + length, 0, 0});
    row += length;
  }
  c.queryRows = c.keyRows = row + 1;
  return c;
}

template <typename T>
void testType(Checker& checker, const std::string& type) {
  const std::vector<int> widths =
      sizeof(T) == 2 ? std::vector<int>{32, 48, 64, 80, 96, 128} : std::vector<int>{32, 64, 128};
  for (const Dropout& dropout : {kNone, kSome}) {
    for (const int width : widths) {
      run<T>(checker, selfCase(type + " self", 2, width, {65, 17, 1, 40}, dropout, 8));
    }
    run<T>(checker, selfCase(type + " lengths", 2, 32, {1, 15, 16, 17, 63, 64, 65, 127, 128, 129}, dropout, 16));
    // No width that is compiled, columns and rows that begin anywhere.
    for (const int width : {1, 8, 20, 56, 100}) {
      run<T>(checker, selfCase(type + " any", 3, width, {33, 70}, dropout, 3), kTolerance<T>.loose());
    }
    const std::string suffix = dropout.threshold ? " dropout" : "";
    const std::vector<Segment> cross = {{0, 1, 0, 3, 0, 0},       {1, 18, 3, 20, 0, 0},
                                        {18, 26, 20, 28, 0, 0},   {26, 69, 28, 61, 0, 0},
                                        {69, 200, 61, 192, 0, 0}, {200, 202, 192, 193, 0, 0},
                                        {202, 205, 193, 340, 0, 0}};
    run<T>(checker, {type + " cross" + suffix, 2, 48, cross, 205, 340, dropout, 0});
    const std::vector<Segment> pairs = {{0, 1, 0, 9, 60, 77},
                                        {1, 2, 9, 60, 77, 110},
                                        {2, 3, 120, 420, 421, 800},
                                        {3, 4, 800, 801, 801, 802}};
    for (const int width : {8, 20, 32, 64, 80, 128}) {
      run<T>(checker, {type + " pairToBoth" + dims({width}) + suffix, 2, width, pairs, 5, 803, dropout, 8},
             kTolerance<T>.loose());
    }
  }
}

// --- Against the CPU engine ----------------------------------------------------------------------

void testAgainstCpu(Checker& checker) {
  Pool pool(1);
  Context context{pool, *kernelsFor("generic")};
  Case c = selfCase("CPU engine", 4, 16, {129, 64, 30}, kSome, 0);
  Random random(7);
  const Floats q = random.values(c.queryRows * c.ldq(), 2), kv = random.values(c.keyRows * c.ldkv(), 2);
  const Floats dout = random.values(c.queryRows * c.width());
  const relic::AttentionArgs args{c.heads, c.width(), c.segments.data(), static_cast<int64_t>(c.segments.size()),
                                  q.data(), c.ldq(),  kv.data(),         kv.data() + c.width(),
                                  c.ldkv(), c.dropout};
  const auto rowsOf = [](int64_t count) { return Floats(at(count)); };
  Floats out = rowsOf(c.queryRows * c.width()), logs = rowsOf(c.queryRows * c.heads);
  Floats dq = rowsOf(c.queryRows * c.ldq()), dkv = rowsOf(c.keyRows * c.ldkv());
  relic::attentionForward(context, args, out.data(), logs.data());
  relic::attentionBackward(context, args, out.data(), logs.data(), dout.data(), dq.data(), dkv.data(),
                           dkv.data() + c.width());

  Runner<float> runner(c, q, kv, dout);
  DeviceArray<float> toQ(dq.size()), toKv(dkv.size());
  // Rows of no segment stay zero, as on the CPU.
  cudaMemset(runner.out.data(), 0, out.size() * sizeof(float));
  cudaMemset(runner.logSumExp.data(), 0, logs.size() * sizeof(float));
  cudaMemset(toQ.data(), 0, dq.size() * sizeof(float));
  cudaMemset(toKv.data(), 0, dkv.size() * sizeof(float));
  runner.forward();
  runner.backward(toQ.data(), toKv.data(), false);
  const auto wide = [](const Floats& x) { return Doubles(x.begin(), x.end()); };
  checker.close(c.name + " out", runner.out.floats(), wide(out), 3e-6);
  checker.close(c.name + " log-sum-exp", runner.logSumExp.floats(), wide(logs), 3e-6);
  checker.close(c.name + " dq", toQ.floats(), wide(dq), 2e-5);
  checker.close(c.name + " dkv", toKv.floats(), wide(dkv), 5e-5);
}

// --- Edges ---------------------------------------------------------------------------------------

void testEdges(Checker& checker) {
  // NaN must reach the loss, and only from where it is.
  const Case c = selfCase("NaN", 1, 32, {70, 20}, kNone, 0);
  Random random(3);
  std::vector<float> q = random.values(c.queryRows * c.ldq());
  q[at(5 * c.ldq() + 3)] = NAN;
  Runner<float> runner(c, q, random.values(c.keyRows * c.ldkv()), random.values(c.queryRows * c.width()));
  runner.forward();
  const Floats out = runner.out.floats();
  bool only = true;
  for (size_t i = 2 * 32; i < 92 * 32; i++) only = only && std::isnan(out[i]) == (i / 32 == 5);
  checker.isTrue("a NaN in a query gives a NaN row", only);

  // The score 0 of rows that only fill a tile is far above these, and must not become infinity times 0.
  const Case low = selfCase("scores far below 0", 1, 32, {70, 20}, kNone, 0);
  Runner<BFloat16> negative(low, std::vector<BFloat16>(at(low.queryRows * low.ldq()), 5.0f),
                            std::vector<BFloat16>(at(low.keyRows * low.ldkv()), -5.0f),
                            std::vector<BFloat16>(at(low.queryRows * low.width()), 1.0f));
  DeviceArray<BFloat16> dq(low.queryRows * low.ldq()), dkv(low.keyRows * low.ldkv());
  negative.forward();
  negative.backward(dq.data(), dkv.data(), false);
  const auto finiteRows = [](const Floats& values, size_t from, size_t to) {
    return std::all_of(values.data() + from, values.data() + to, [](float x) { return std::isfinite(x); });
  };
  checker.isTrue(low.name + ": dq is finite", finiteRows(dq.floats(), 2 * 32, 92 * 32));
  checker.isTrue(low.name + ": dkv is finite", finiteRows(dkv.floats(), 2 * 64, 92 * 64));

  const Case wide = selfCase("wide", 1, kMaxHeadWidth + 1, {5}, kNone, 0);
  Runner<float> refused(wide, random.values(wide.queryRows * wide.ldq()), random.values(wide.keyRows * wide.ldkv()),
                        random.values(wide.queryRows * wide.width()));
  checker.isTrue("a head that is too wide", refused.forward() == cudaErrorInvalidValue);

  // Large scores: the sum of exponentials overflows unless the largest is taken out.
  const Case large = selfCase("large scores", 1, 64, {100}, kNone, 0);
  Runner<Half> strong(large, rounded<Half>(random.values(large.queryRows * large.ldq(), 60)),
                      rounded<Half>(random.values(large.keyRows * large.ldkv(), 60)),
                      rounded<Half>(random.values(large.queryRows * large.width())));
  strong.forward();
  checker.isTrue("large scores stay finite", finiteRows(strong.out.floats(), 2 * 64, 102 * 64));
}

// --- Work lists ----------------------------------------------------------------------------------

void testWork(Checker& checker) {
  Random random(11);
  bool once = true, sorted = true, bounded = true;
  for (int round = 0; round < 40; round++) {
    std::vector<Segment> segments;
    int32_t query = 0, key = 0;
    for (int i = 0; i < 1 + round % 9; i++) {
      const auto next = [&] { return static_cast<int32_t>((random.next(1) + 1) * 100); };
      const int32_t queries = next(), keys = next();
      segments.push_back({query, query + queries, key, key + keys, 0, 0});
      query += queries;
      key += keys;
    }
    const AttentionWork work = attentionWork(segments);
    for (const std::vector<AttentionTile>* tiles : {&work.queryTiles, &work.keyTiles}) {
      std::vector<int> counts(at(query) * at(key) + 1);
      int64_t longest = INT64_MAX;
      for (const AttentionTile& tile : *tiles) {
        const int64_t queries = tile.queryTo - tile.queryFrom, keys = tile.keyTo - tile.keyFrom;
        const int64_t own = tiles == &work.queryTiles ? queries : keys, other = queries + keys - own;
        bounded = bounded && own > 0 && own <= kAttentionTileRows;
        sorted = sorted && other <= longest;
        longest = other;
        for (int32_t i = tile.queryFrom; i < tile.queryTo; i++) {
          for (int32_t j = tile.keyFrom; j < tile.keyTo; j++) counts[at(i) * at(key) + at(j)]++;
        }
        const bool starts = std::any_of(segments.begin(), segments.end(), [&](const Segment& s) {
          return s.keyFrom == tile.segmentKey && s.keyFrom <= tile.keyFrom && tile.keyTo <= s.keyTo &&
                 s.queryFrom <= tile.queryFrom && tile.queryTo <= s.queryTo;
        });
        bounded = bounded && starts;
      }
      for (const Segment& s : segments) {
        for (int32_t i = s.queryFrom; i < s.queryTo; i++) {
          for (int32_t j = s.keyFrom; j < s.keyTo; j++) counts[at(i) * at(key) + at(j)]--;
        }
      }
      once = once && std::all_of(counts.begin(), counts.end(), [](int count) { return count == 0; });
    }
  }
  checker.isTrue("every (query, key) is in one tile of each list, and no other", once);
  checker.isTrue("long tiles come first", sorted);
  checker.isTrue("tiles have at most 64 rows, of one segment", bounded);
  checker.isTrue("no segments", attentionWork({}).queryTiles.empty() && attentionWork({}).keyTiles.empty());
}

}  // namespace
}  // namespace relic::cuda

int main() {
  using namespace relic::cuda;
  relic::Checker checker;
  testWork(checker);
  testType<float>(checker, "float");
  testType<BFloat16>(checker, "bfloat16");
  testType<Half>(checker, "half");
  testAgainstCpu(checker);
  testEdges(checker);
  return checker.finish();
}
