// Attention head by head: the scores of one block of queries are all that is ever held. Backward computes them again
// from the saved log-sum-exp (Dao et al., "FlashAttention", 2022, on rows of whole length: they fit the cache).
#include <algorithm>
#include <cmath>

#include "gemm.h"
#include "kernels/kernels.h"
#include "ops.h"
#include "pool.h"
#include "room.h"

namespace relic {
namespace {

// Scores held at a time: with their gradients and masks they take half of a 1 MiB cache.
constexpr int64_t kScores = 32768;
// Fewer queries than this are not worth packing keys and values for.
constexpr int64_t kPackedQueries = 4;
constexpr double kNanosecondsPerScore = 0.04;
// Room behind the draws of a block that the kernel may write.
constexpr int64_t kDrawRoom = 128;

// The keys of a segment: rows from .. of both ranges.
struct Keys {
  int64_t from, rows, from2, rows2;
  int64_t count() const { return rows + rows2; }
};

Keys keysOf(const Segment& s) { return {s.keyFrom, s.keyTo - s.keyFrom, s.key2From, s.key2To - s.key2From}; }
int64_t queriesOf(const Segment& s) { return s.queryTo - s.queryFrom; }

// What does not change between heads.
struct Shape {
  const Kernels& kernels;
  const AttentionArgs& args;
  int64_t headWidth;
  float factor;

  bool masked() const { return args.dropout.threshold != 0; }
  float keepScale() const { return masked() ? args.dropout.scale : 1.0f; }
  int64_t panels(int64_t lines) const { return roundUp(lines, kernels.product.tileCols); }
  // Query rows of a block, a whole number of tiles.
  int64_t blockRows(int64_t keys) const {
    const int64_t tiles = std::max<int64_t>(1, kScores / scoreStride(keys) / kernels.product.tileRows);
    return tiles * kernels.product.tileRows;
  }
  int64_t scoreStride(int64_t keys) const { return roundUp(std::max<int64_t>(keys, 1), 16); }
  int64_t drawStride(int64_t keys) const { return roundUp(keys, 8); }
  // In floats.
  int64_t drawRoom(int64_t keys) const { return masked() ? (blockRows(keys) * drawStride(keys) + kDrawRoom) / 2 : 0; }

  ScoreRows scoreRows(int64_t rows, int64_t keys, const uint16_t* draws) const {
    return {rows, keys, scoreStride(keys), factor, draws, drawStride(keys), args.dropout.threshold, keepScale()};
  }

  // Draws the masks of `rows` queries of a head; null without dropout.
  const uint16_t* draw(const Segment& segment, int64_t query, int64_t rows, int64_t head, int64_t keys,
                       float* room) const {
    if (!masked()) return nullptr;
    uint16_t* draws = reinterpret_cast<uint16_t*>(room);
    const MaskKey key{{args.dropout.key[0], args.dropout.key[1]}, args.dropout.site, args.dropout.step};
    const auto row = static_cast<uint32_t>((query + segment.maskShift) * args.heads + head);
    kernels.draw(key, row, static_cast<uint32_t>(args.heads), rows, 0,
                 drawStride(keys) / 8, draws);
    return draws;
  }

  // c (rows, cols; ldc) (+)= a b, where b is packed in panels.
  void multiply(int64_t rows, int64_t cols, int64_t depth, const float* a, int64_t aRow, int64_t aStep, const float* b,
                float* c, int64_t ldc, bool accumulate) const {
    multiplyPanels(kernels.product, rows, cols, depth, a, aRow, aStep, b, c, ldc, accumulate);
  }
};

Shape shapeOf(const Context& context, const AttentionArgs& args) {
  const int64_t headWidth = args.width / args.heads;
  return {context.kernels, args, headWidth, static_cast<float>(1 / std::sqrt(static_cast<double>(headWidth)))};
}

struct ForwardRoom : Room {
  ForwardRoom(const Shape& s, int64_t count)
      : keys(take(s.panels(count) * s.headWidth)),
        values(take(count * s.panels(s.headWidth))),
        scores(take(s.blockRows(count) * s.scoreStride(count))),
        draws(take(s.drawRoom(count))),
        sums(take(s.blockRows(count))) {}
  const int64_t keys, values, scores, draws, sums;
};

struct BackwardRoom : Room {
  BackwardRoom(const Shape& s, int64_t count)
      : keys(take(s.panels(count) * s.headWidth)),
        values(take(s.panels(count) * s.headWidth)),
        keyRows(take(count * s.panels(s.headWidth))),
        queries(take(s.blockRows(count) * s.panels(s.headWidth))),
        gradients(take(s.blockRows(count) * s.panels(s.headWidth))),
        scores(take(s.blockRows(count) * s.scoreStride(count))),
        scoreGradients(take(s.blockRows(count) * s.scoreStride(count))),
        draws(take(s.drawRoom(count))),
        dots(take(s.blockRows(count))) {}
  const int64_t keys, values, keyRows, queries, gradients, scores, scoreGradients, draws, dots;
};

// --- Forward -------------------------------------------------------------------------------------

void forwardPacked(const Shape& s, const Segment& segment, int64_t head, float* scratch, float* out, float* logSumExp) {
  const AttentionArgs& a = s.args;
  const int64_t width = s.headWidth, column = head * width;
  const Keys keys = keysOf(segment);
  const int64_t count = keys.rows, stride = s.scoreStride(count);
  const ForwardRoom room(s, count);
  const ProductKernels& product = s.kernels.product;
  const int64_t first = keys.from * a.ldkv + column;
  product.pack(a.k + first, a.ldkv, 1, count, width, product.tileCols, scratch + room.keys);
  product.pack(a.v + first, 1, a.ldkv, width, count, product.tileCols, scratch + room.values);
  const int64_t block = s.blockRows(count);
  for (int64_t query = segment.queryFrom; query < segment.queryTo; query += block) {
    const int64_t rows = std::min<int64_t>(block, segment.queryTo - query);
    const uint16_t* draws = s.draw(segment, query, rows, head, count, scratch + room.draws);
    s.multiply(rows, count, width, a.q + query * a.ldq + column, a.ldq, 1, scratch + room.keys, scratch + room.scores,
               stride, false);
    s.kernels.softmaxRows(s.scoreRows(rows, count, draws), scratch + room.scores, scratch + room.sums,
                          logSumExp + query * a.heads + head, a.heads);
    // Dividing by the sums is cheaper in the output, which is narrower than the scores.
    float* target = out + query * a.width + column;
    s.multiply(rows, width, count, scratch + room.scores, stride, 1, scratch + room.values, target, a.width, false);
    for (int64_t r = 0; r < rows; r++, target += a.width) {
      s.kernels.scale(width, s.keepScale() / scratch[room.sums + r], target, target, false);
    }
  }
}

// Query by query, with keys and values where they are.
void forwardSingle(const Shape& s, const Segment& segment, int64_t head, float* scratch, float* out, float* logSumExp) {
  const AttentionArgs& a = s.args;
  const int64_t width = s.headWidth, column = head * width;
  const Keys keys = keysOf(segment);
  const int64_t count = keys.count();
  const ForwardRoom room(s, count);
  for (int64_t query = segment.queryFrom; query < segment.queryTo; query++) {
    const float* q = a.q + query * a.ldq + column;
    const uint16_t* draws = s.draw(segment, query, 1, head, count, scratch + room.draws);
    s.kernels.dotRows(keys.rows, width, a.k + keys.from * a.ldkv + column, a.ldkv, q, scratch + room.scores);
    s.kernels.dotRows(keys.rows2, width, a.k + keys.from2 * a.ldkv + column, a.ldkv, q,
                      scratch + room.scores + keys.rows);
    s.kernels.softmaxRows(s.scoreRows(1, count, draws), scratch + room.scores, scratch + room.sums,
                          logSumExp + query * a.heads + head, a.heads);
    s.kernels.scale(count, s.keepScale() / scratch[room.sums], scratch + room.scores, scratch + room.scores, false);
    float* target = out + query * a.width + column;
    std::fill_n(target, width, 0.0f);
    s.kernels.weightedRows(keys.rows, width, scratch + room.scores, a.v + keys.from * a.ldkv + column, a.ldkv, target);
    s.kernels.weightedRows(keys.rows2, width, scratch + room.scores + keys.rows, a.v + keys.from2 * a.ldkv + column,
                           a.ldkv, target);
  }
}

// --- Backward ------------------------------------------------------------------------------------

struct Gradients {
  const float *out, *logSumExp, *dout;
  float *dq, *dk, *dv;
};

void backwardPacked(const Shape& s, const Segment& segment, int64_t head, float* scratch, const Gradients& g) {
  const AttentionArgs& a = s.args;
  const Kernels& k = s.kernels;
  const int64_t width = s.headWidth, column = head * width, panel = k.product.tileCols;
  const Keys keys = keysOf(segment);
  const int64_t count = keys.rows, stride = s.scoreStride(count);
  const BackwardRoom room(s, count);
  const int64_t first = keys.from * a.ldkv + column;
  k.product.pack(a.k + first, a.ldkv, 1, count, width, k.product.tileCols, scratch + room.keys);
  k.product.pack(a.v + first, a.ldkv, 1, count, width, k.product.tileCols, scratch + room.values);
  if (g.dq) k.product.pack(a.k + first, 1, a.ldkv, width, count, k.product.tileCols, scratch + room.keyRows);
  const int64_t block = s.blockRows(count);
  for (int64_t query = segment.queryFrom; query < segment.queryTo; query += block) {
    const int64_t rows = std::min<int64_t>(block, segment.queryTo - query);
    const float* q = a.q + query * a.ldq + column;
    const int64_t outAt = query * a.width + column;
    const uint16_t* draws = s.draw(segment, query, rows, head, count, scratch + room.draws);
    s.multiply(rows, count, width, q, a.ldq, 1, scratch + room.keys, scratch + room.scores, stride, false);
    s.multiply(rows, count, width, g.dout + outAt, a.width, 1, scratch + room.values, scratch + room.scoreGradients,
               stride, false);
    // The sum over keys of p M dp is the product of the output with its gradient.
    k.rowDots(rows, width, g.out + outAt, g.dout + outAt, a.width, scratch + room.dots);
    k.softmaxGradientRows(s.scoreRows(rows, count, draws), g.logSumExp + query * a.heads + head, a.heads,
                          scratch + room.dots, scratch + room.scores, scratch + room.scoreGradients);
    if (g.dq) {
      s.multiply(rows, width, count, scratch + room.scoreGradients, stride, 1, scratch + room.keyRows,
                 g.dq + query * a.ldq + column, a.ldq, true);
    }
    if (!g.dk) continue;
    k.product.pack(g.dout + outAt, 1, a.width, width, rows, static_cast<int>(panel), scratch + room.gradients);
    s.multiply(count, width, rows, scratch + room.scores, 1, stride, scratch + room.gradients, g.dv + first, a.ldkv,
               true);
    k.product.pack(q, 1, a.ldq, width, rows, static_cast<int>(panel), scratch + room.queries);
    s.multiply(count, width, rows, scratch + room.scoreGradients, 1, stride, scratch + room.queries, g.dk + first,
               a.ldkv, true);
  }
}

void backwardSingle(const Shape& s, const Segment& segment, int64_t head, float* scratch, const Gradients& g) {
  const AttentionArgs& a = s.args;
  const Kernels& k = s.kernels;
  const int64_t width = s.headWidth, column = head * width;
  const Keys keys = keysOf(segment);
  const int64_t count = keys.count();
  const BackwardRoom room(s, count);
  const struct {
    int64_t at, rows, score;
  } ranges[] = {{keys.from * a.ldkv + column, keys.rows, 0}, {keys.from2 * a.ldkv + column, keys.rows2, keys.rows}};
  for (int64_t query = segment.queryFrom; query < segment.queryTo; query++) {
    const float* q = a.q + query * a.ldq + column;
    const int64_t outAt = query * a.width + column;
    const uint16_t* draws = s.draw(segment, query, 1, head, count, scratch + room.draws);
    for (const auto& range : ranges) {
      k.dotRows(range.rows, width, a.k + range.at, a.ldkv, q, scratch + room.scores + range.score);
      k.dotRows(range.rows, width, a.v + range.at, a.ldkv, g.dout + outAt, scratch + room.scoreGradients + range.score);
    }
    k.rowDots(1, width, g.out + outAt, g.dout + outAt, a.width, scratch + room.dots);
    k.softmaxGradientRows(s.scoreRows(1, count, draws), g.logSumExp + query * a.heads + head, a.heads,
                          scratch + room.dots, scratch + room.scores, scratch + room.scoreGradients);
    for (const auto& range : ranges) {
      const float* d = scratch + room.scoreGradients + range.score;
      if (g.dq) k.weightedRows(range.rows, width, d, a.k + range.at, a.ldkv, g.dq + query * a.ldq + column);
      if (!g.dk) continue;
      k.addOuter(range.rows, width, d, q, g.dk + range.at, a.ldkv);
      k.addOuter(range.rows, width, scratch + room.scores + range.score, g.dout + outAt, g.dv + range.at, a.ldkv);
    }
  }
}

// --- Tasks ---------------------------------------------------------------------------------------

bool isPacked(const Segment& segment) {
  return queriesOf(segment) >= kPackedQueries && keysOf(segment).rows2 == 0 && keysOf(segment).rows > 0;
}

// What a head of a segment costs, in scores: packing counts as so many queries more.
double costOf(const Segment& segment) {
  return static_cast<double>(queriesOf(segment) + 8) * static_cast<double>(keysOf(segment).count() + 8);
}

// Runs body(segment, head, scratch) for every head of every segment. Neighbouring tasks go to one part, and parts cost
// about the same: task t belongs to the part in which the middle of its cost lies.
template <typename Body>
void eachHead(Context& context, const AttentionArgs& args, double nanosecondsPerScore, size_t room, Body&& body) {
  double total = 0;
  for (int64_t i = 0; i < args.segmentCount; i++) total += costOf(args.segments[i]);
  const double perWidth = static_cast<double>(args.width) / 32;
  const int64_t parts =
      std::min<int64_t>(context.pool.partsFor(total * perWidth * nanosecondsPerScore), args.segmentCount * args.heads);
  context.pool.reserve(parts, room);
  const double share = total * static_cast<double>(args.heads) / static_cast<double>(std::max<int64_t>(parts, 1));
  context.pool.parallelFor(parts, [&](int64_t part) {
    float* scratch = context.pool.scratch(part);
    double before = 0;
    for (int64_t i = 0; i < args.segmentCount; i++) {
      const double cost = costOf(args.segments[i]);
      for (int64_t head = 0; head < args.heads; head++, before += cost) {
        const int64_t owner = std::min(parts - 1, static_cast<int64_t>((before + cost / 2) / share));
        if (owner == part) body(args.segments[i], head, scratch);
      }
    }
  });
}

// The scratch of the most demanding segment.
template <typename RoomType>
size_t largestRoom(const Shape& shape) {
  int64_t largest = 0;
  for (int64_t i = 0; i < shape.args.segmentCount; i++) {
    largest = std::max(largest, RoomType(shape, keysOf(shape.args.segments[i]).count()).size());
  }
  return static_cast<size_t>(largest);
}

}  // namespace

void attentionForward(Context& context, const AttentionArgs& args, float* out, float* logSumExp) {
  const Shape shape = shapeOf(context, args);
  eachHead(context, args, kNanosecondsPerScore, largestRoom<ForwardRoom>(shape),
           [&](const Segment& segment, int64_t head, float* scratch) {
             const auto forward = isPacked(segment) ? forwardPacked : forwardSingle;
             forward(shape, segment, head, scratch, out, logSumExp);
           });
}

void attentionBackward(Context& context, const AttentionArgs& args, const float* out, const float* logSumExp,
                       const float* dout, float* dq, float* dk, float* dv) {
  const Shape shape = shapeOf(context, args);
  const Gradients gradients{out, logSumExp, dout, dq, dk, dv};
  eachHead(context, args, 2.5 * kNanosecondsPerScore, largestRoom<BackwardRoom>(shape),
           [&](const Segment& segment, int64_t head, float* scratch) {
             const auto backward = isPacked(segment) ? backwardPacked : backwardSingle;
             backward(shape, segment, head, scratch, gradients);
           });
}

}  // namespace relic
