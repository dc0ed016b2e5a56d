#include "gemm.h"

#include <algorithm>

#include "kernels/kernels.h"
#include "pool.h"
#include "room.h"

namespace relic {
namespace {

// Rows of a that lie along the depth are read where they are, unless their starts would all share one set of the
// innermost cache (a page apart). Others are packed when each element is read for more than so many columns.
constexpr int64_t kPageFloats = 1024;
constexpr int64_t kPackColumns = 96;
// So many tiles of rows do not repay the packing of b.
constexpr int64_t kUnpackedTiles = 2;
// What a thread does in a nanosecond, roughly: values packed, values added.
constexpr double kPackedPerNanosecond = 4;
constexpr double kReducedPerNanosecond = 1.5;
// Tiles of any height run almost equally well, so rows are dealt more finely than in whole tiles.
constexpr int64_t kRowUnit = 2;
// Shorter sums than this are not split.
constexpr int64_t kDepthPart = 2048;

int64_t ceilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The number of parts along rows, columns and depth.
struct Grid {
  int64_t rows, cols, depth;
  int64_t parts() const { return rows * cols * depth; }
};

// One part's share of the product; the depth in words.
struct Block {
  int64_t fromRow, toRow, fromCol, toCol, fromDepth, toDepth;
};

// While it lives, this thread may run tiles.
class Prepared {
 public:
  explicit Prepared(const ProductKernels& kernels) : end_(kernels.end) {
    if (kernels.begin) kernels.begin();
  }
  ~Prepared() {
    if (end_) end_();
  }
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;

 private:
  void (*end_)();
};

class Product {
 public:
  Product(const ProductKernels& kernels, int64_t m, int64_t n, int64_t k, const Factor& a, const Factor& b)
      : kernels_(kernels), m_(m), n_(n), k_(k), words_(roundUp(ceilDivide(k, kernels.wordDepth), kernels.depthUnit)), a_(a), b_(b) {}

  // The grid of at most `threads` parts that takes the least time by the estimate of a part.
  Grid choose(int64_t threads) const {
    Grid best{1, 1, 1};
    double least = estimate(best);
    for (int64_t rows = 1; rows <= threads; rows++) {
      for (int64_t cols = 1; rows * cols <= threads; cols++) {
        const int64_t depth = std::min(threads / (rows * cols), std::max<int64_t>(1, k_ / kDepthPart));
        for (const Grid& grid : {Grid{rows, cols, 1}, Grid{rows, cols, depth}}) {
          const double nanoseconds = estimate(grid);
          if (nanoseconds >= least) continue;
          least = nanoseconds;
          best = grid;
        }
      }
    }
    return best;
  }

  Block block(const Grid& grid, int64_t part) const {
    const int64_t row = part % grid.rows, col = part / grid.rows % grid.cols, depth = part / grid.rows / grid.cols;
    const auto cut = [](int64_t size, int64_t unit, int64_t i, int64_t parts) {
      return std::min(size, ceilDivide(size, unit) * i / parts * unit);
    };
    const int64_t height = rowUnit(), width = kernels_.tileCols, unit = kernels_.depthUnit;
    return {cut(m_, height, row, grid.rows),      cut(m_, height, row + 1, grid.rows),
            cut(n_, width, col, grid.cols),       cut(n_, width, col + 1, grid.cols),
            cut(words_, unit, depth, grid.depth), cut(words_, unit, depth + 1, grid.depth)};
  }

  // In floats: packed rows of a, and packed columns of b.
  size_t scratchOfA() const {
    const int64_t rows = roundUp(std::min<int64_t>(m_, kernels_.rowBlock), kernels_.tileRows);
    return static_cast<size_t>(roundUp(rows * longestDepth(), 16) + 16);
  }
  size_t scratchOfB() const {
    return static_cast<size_t>(roundUp(std::min<int64_t>(n_, kernels_.columnBlock), kernels_.tileCols) * longestDepth() + 16);
  }

  const ProductKernels& kernels() const { return kernels_; }

  int64_t largestBlock(const Grid& grid) const {
    return roundUp(ceilDivide(m_, grid.rows), rowUnit()) * roundUp(ceilDivide(n_, grid.cols), kernels_.tileCols);
  }

  // Cuts the depth and the columns of a block: calls visit(piece, first), where `first` is about the depth.
  template <typename Visit>
  void eachPiece(const Block& at, int64_t columns, const Visit& visit) const {
    const int64_t step = depthBlock(at.toDepth - at.fromDepth);
    for (int64_t t = at.fromDepth; t < at.toDepth; t += step) {
      for (int64_t col = at.fromCol; col < at.toCol; col += columns) {
        visit(Block{at.fromRow, at.toRow, col, std::min(col + columns, at.toCol), t, std::min(t + step, at.toDepth)},
              t == at.fromDepth);
      }
    }
  }

  // Packs columns [from, to) of a piece, counted from its first; `from` is at a panel.
  void packB(const Block& piece, int64_t from, int64_t to, float* packed) const {
    const int64_t value = piece.fromDepth * kernels_.wordDepth;
    kernels_.pack(b_.data + (piece.fromCol + from) * b_.lineStride + value * b_.depthStride, b_.lineStride,
                  b_.depthStride, to - from, valuesOf(piece), kernels_.tileCols,
                  packed + from * (piece.toDepth - piece.fromDepth));
  }

  // c is that of the whole product.
  void compute(const Block& at, float* scratch, float* c, int64_t ldc, const float* bias, bool accumulate) const {
    float* packedB = scratch + scratchOfA();
    const int64_t columns = columnBlock(at.toRow - at.fromRow, at.toCol - at.fromCol);
    eachPiece(at, columns, [&](const Block& piece, bool first) {
      const bool packs = packsB(at.toRow - at.fromRow, piece.toCol - piece.fromCol);
      if (packs) packB(piece, 0, piece.toCol - piece.fromCol, packedB);
      multiplyRows(piece, packs ? packedB : nullptr, scratch, c, ldc, first ? bias : nullptr, accumulate || !first);
    });
  }

  // The rows of a piece; its columns of b are packed in panels, or null where packsB() is false.
  void multiplyRows(const Block& piece, const float* packedB, float* packedA, float* c, int64_t ldc, const float* bias,
                    bool accumulate) const {
    const Prepared prepared(kernels_);
    const int64_t depth = piece.toDepth - piece.fromDepth, cols = piece.toCol - piece.fromCol, col = piece.fromCol;
    const int64_t value = piece.fromDepth * kernels_.wordDepth;
    for (int64_t row = piece.fromRow; row < piece.toRow; row += kernels_.rowBlock) {
      const int64_t rows = std::min<int64_t>(kernels_.rowBlock, piece.toRow - row);
      Factor a{a_.data + row * a_.lineStride + value * a_.depthStride, a_.lineStride, a_.depthStride};
      const int64_t height = tileHeight(rows);
      int64_t tileStep = height * a.lineStride;
      if (packsA(cols)) {
        kernels_.packLeft(a.data, a.lineStride, a.depthStride, rows, valuesOf(piece), static_cast<int>(height), packedA);
        a = {packedA, kernels_.depthUnit, height * kernels_.depthUnit};
        tileStep = height * depth;
      }
      const Panels b = packedB != nullptr ? Panels{packedB, depth * kernels_.tileCols, kernels_.tileCols}
                                          : Panels{b_.data + col + value * b_.depthStride, kernels_.tileCols,
                                                   b_.depthStride};
      multiply(rows, height, cols, depth, a, tileStep, b, c + row * ldc + col, ldc, bias ? bias + col : nullptr,
               accumulate);
    }
  }

 private:
  int64_t valuesOf(const Block& piece) const {
    return std::min(piece.toDepth * kernels_.wordDepth, k_) - piece.fromDepth * kernels_.wordDepth;
  }

  // Columns of b, tileCols at a time: `next` words from one panel to the next, `step` from one word of the depth to the next.
  struct Panels {
    const float* data;
    int64_t next, step;
  };

  void multiply(int64_t rows, int64_t height, int64_t cols, int64_t depth, const Factor& a, int64_t tileStep,
                const Panels& b, float* c, int64_t ldc, const float* bias, bool accumulate) const {
    const int64_t width = kernels_.tileCols;
    const auto tile = [&](int64_t row, int64_t col) {
      kernels_.tile(static_cast<int>(std::min(height, rows - row)), static_cast<int>(std::min(width, cols - col)),
                    depth, a.data + row / height * tileStep, a.lineStride, a.depthStride,
                    b.data + col / width * b.next, b.step, c + row * ldc + col, ldc, bias ? bias + col : nullptr, accumulate);
    };
    if (cols * depth <= kernels_.residentB) {
      for (int64_t row = 0; row < rows; row += height) {
        for (int64_t col = 0; col < cols; col += width) tile(row, col);
      }
      return;
    }
    for (int64_t col = 0; col < cols; col += width) {
      for (int64_t row = 0; row < rows; row += height) tile(row, col);
    }
  }

  // A few rows read b where it lies, if its columns lie side by side and fill whole panels.
  bool packsB(int64_t rows, int64_t cols) const {
    return rows > kUnpackedTiles * kernels_.tileRows || kernels_.wordDepth > 1 || b_.lineStride != 1 ||
           cols % kernels_.tileCols != 0;
  }

  bool packsA(int64_t cols) const {
    if (kernels_.wordDepth > 1) return true;
    return cols > kPackColumns && (a_.depthStride != 1 || a_.lineStride % kPageFloats == 0);
  }

  // A few rows that are read where they lie take b panel by panel, so that each is still near when it has been packed.
  int64_t columnBlock(int64_t rows, int64_t cols) const {
    return rows <= kernels_.rowBlock && !packsA(cols) ? kernels_.tileCols : kernels_.columnBlock;
  }

  // As few tiles as can be, all about equally high: a low one would wait for b more than it computes.
  int64_t tileHeight(int64_t rows) const {
    return roundUp(ceilDivide(rows, ceilDivide(rows, kernels_.tileRows)), kernels_.rowUnit);
  }

  int64_t rowUnit() const { return std::max<int64_t>(kRowUnit, kernels_.rowUnit); }

  // Of a piece, in words: blocks of a part may be longer than those of the whole would be.
  int64_t longestDepth() const { return std::min<int64_t>(words_, kernels_.depthBlock); }

  // Equal blocks along a depth in words, none longer than the kernels'.
  int64_t depthBlock(int64_t words) const {
    return roundUp(ceilDivide(words, ceilDivide(words, kernels_.depthBlock)), kernels_.depthUnit);
  }

  double estimate(const Grid& grid) const {
    const int64_t height = roundUp(ceilDivide(m_, grid.rows), rowUnit());
    // Loading b costs each tile about as much as two rows more.
    const double rows = static_cast<double>(height + 2 * ceilDivide(height, kernels_.tileRows));
    const double cols = static_cast<double>(roundUp(ceilDivide(n_, grid.cols), kernels_.tileCols));
    const double depth = static_cast<double>(ceilDivide(k_, grid.depth));
    // Threads that share their columns share the packing of b.
    const int64_t sharing = grid.depth == 1 && grid.cols == 1 ? grid.rows : 1;
    const double packedB = packsB(height, static_cast<int64_t>(cols)) ? cols / static_cast<double>(sharing) : 0;
    const double packedA = packsA(static_cast<int64_t>(cols)) ? static_cast<double>(height) : 0;
    const double packed = packedA + packedB;
    const double reduction = grid.depth == 1 ? 0 : static_cast<double>(m_ * n_ * grid.depth);
    return depth * (rows * cols / kernels_.speed + packed / kPackedPerNanosecond) +
           reduction / static_cast<double>(grid.parts()) / kReducedPerNanosecond;
  }

  const ProductKernels& kernels_;
  // words_: of the depth.
  int64_t m_, n_, k_, words_;
  Factor a_, b_;
};

// Every part has rows of its own; all pack a share of b for all.
void multiplyShared(Pool& pool, const Product& product, const Grid& grid, int64_t n, float* c, int64_t ldc,
                    const float* bias, bool accumulate) {
  const int64_t parts = grid.parts();
  pool.reserve(parts + 1, std::max(product.scratchOfA(), product.scratchOfB()));
  float* packedB = pool.scratch(parts);
  Block whole = product.block(grid, 0);
  whole.toCol = n;
  product.eachPiece(whole, product.kernels().columnBlock, [&](const Block& piece, bool first) {
    const int64_t cols = piece.toCol - piece.fromCol, panel = product.kernels().tileCols;
    pool.parallelFor(parts, [&](int64_t part) {
      const auto cut = [&](int64_t i) { return std::min(cols, ceilDivide(cols, panel) * i / parts * panel); };
      if (cut(part) < cut(part + 1)) product.packB(piece, cut(part), cut(part + 1), packedB);
    });
    pool.parallelFor(parts, [&](int64_t part) {
      Block own = piece;
      own.fromRow = product.block(grid, part).fromRow;
      own.toRow = product.block(grid, part).toRow;
      product.multiplyRows(own, packedB, pool.scratch(part), c, ldc, first ? bias : nullptr, accumulate || !first);
    });
  });
}

}  // namespace

void multiplyPanels(const ProductKernels& kernels, int64_t rows, int64_t cols, int64_t depth, const float* a,
                    int64_t aRow, int64_t aStep, const float* b, float* c, int64_t ldc, bool accumulate) {
  for (int64_t col = 0; col < cols; col += kernels.tileCols, b += depth * kernels.tileCols) {
    const int used = static_cast<int>(std::min<int64_t>(kernels.tileCols, cols - col));
    for (int64_t row = 0; row < rows; row += kernels.tileRows) {
      kernels.tile(static_cast<int>(std::min<int64_t>(kernels.tileRows, rows - row)), used, depth, a + row * aRow, aRow,
                   aStep, b, kernels.tileCols, c + row * ldc + col, ldc, nullptr, accumulate);
    }
  }
}

void gemm(Context& context, int64_t m, int64_t n, int64_t k, const Factor& a, const Factor& b, float* c, int64_t ldc,
          const float* bias, bool accumulate) {
  if (m <= 0 || n <= 0) return;
  const ProductKernels& kernels = context.product;
  if (k <= 0) {
    if (accumulate) return;
    for (int64_t i = 0; i < m; i++) {
      for (int64_t j = 0; j < n; j++) c[i * ldc + j] = bias ? bias[j] : 0.0f;
    }
    return;
  }
  const Product product(kernels, m, n, k, a, b);
  const double work = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  const Grid grid = product.choose(context.pool.partsFor(work / kernels.speed));
  if (grid.depth == 1 && grid.cols == 1 && grid.rows > 1) {
    return multiplyShared(context.pool, product, grid, n, c, ldc, bias, accumulate);
  }
  const size_t room = product.scratchOfA() + product.scratchOfB();
  if (grid.depth == 1) {
    context.pool.reserve(grid.parts(), room);
    context.pool.parallelFor(grid.parts(), [&](int64_t part) {
      product.compute(product.block(grid, part), context.pool.scratch(part), c, ldc, bias, accumulate);
    });
    return;
  }

  // Each part sums its share of the depth into a block of its own; then the shares are added in order.
  const size_t blockSize = static_cast<size_t>(product.largestBlock(grid));
  context.pool.reserve(grid.parts(), room + blockSize);
  context.pool.parallelFor(grid.parts(), [&](int64_t part) {
    const Block at = product.block(grid, part);
    float* scratch = context.pool.scratch(part);
    const int64_t ld = at.toCol - at.fromCol;
    // compute() counts c from the first element of the whole product.
    product.compute(at, scratch + blockSize, scratch - (at.fromRow * ld + at.fromCol), ld, nullptr, false);
  });
  context.pool.parallelFor(grid.parts(), [&](int64_t part) {
    const int64_t area = grid.rows * grid.cols;
    const int64_t first = part % area, share = part / area;
    const Block at = product.block(grid, first);
    const int64_t rows = at.toRow - at.fromRow, cols = at.toCol - at.fromCol;
    for (int64_t row = rows * share / grid.depth; row < rows * (share + 1) / grid.depth; row++) {
      float* out = c + (at.fromRow + row) * ldc + at.fromCol;
      if (!accumulate) {
        for (int64_t col = 0; col < cols; col++) out[col] = bias ? bias[at.fromCol + col] : 0.0f;
      }
      for (int64_t other = first; other < grid.parts(); other += area) {
        context.kernels.add(cols, out, context.pool.scratch(other) + row * cols, out);
      }
    }
  });
}

}  // namespace relic
