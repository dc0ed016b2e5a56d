// Linear layers: three forms of one matrix product, none of which copies a transposed matrix.
#include <algorithm>

#include "gemm.h"
#include "kernels/kernels.h"
#include "ops.h"
#include "pool.h"

namespace relic {
namespace {

// Rows that one call of the kernel adds up before its sum joins the total: short sums of floats lose less.
constexpr int64_t kSumRows = 128;
constexpr double kNanosecondsPerSum = 0.05;

}  // namespace

Context::Context(Pool& pool, const Kernels& kernels) : Context(pool, kernels, kernels.product) {}

void linearForward(Context& context, int64_t rows, int64_t out, int64_t in, const float* x, const float* w,
                   const float* bias, float* y) {
  gemm(context, rows, out, in, {x, in, 1}, {w, in, 1}, y, out, bias, false);
}

void linearBackwardInput(Context& context, int64_t rows, int64_t out, int64_t in, const float* dy, const float* w,
                         float* dx, bool accumulate) {
  gemm(context, rows, in, out, {dy, out, 1}, {w, 1, in}, dx, in, nullptr, accumulate);
}

void linearBackwardWeight(Context& context, int64_t rows, int64_t out, int64_t in, const float* dy, const float* x,
                          float* dw, bool accumulate) {
  gemm(context, out, in, rows, {dy, 1, out}, {x, 1, in}, dw, in, nullptr, accumulate);
}

void columnSums(Context& context, int64_t rows, int64_t cols, const float* dy, float* db, bool accumulate) {
  const double nanoseconds = kNanosecondsPerSum * static_cast<double>(rows * cols);
  if (!accumulate) std::fill(db, db + cols, 0.0f);
  if (context.pool.partsFor(nanoseconds) == 1) {
    for (int64_t r = 0; r < rows; r += kSumRows) {
      context.kernels.columnSums(std::min(kSumRows, rows - r), cols, dy + r * cols, db);
    }
    return;
  }
  const int64_t parts = context.pool.partsFor(nanoseconds);
  context.pool.reserve(parts, static_cast<size_t>(cols));
  for (int64_t part = 0; part < parts; part++) std::fill_n(context.pool.scratch(part), cols, 0.0f);
  context.pool.parallelRanges(rows, kSumRows, nanoseconds, [&](int64_t from, int64_t to, int64_t part) {
    for (int64_t r = from; r < to; r += kSumRows) {
      context.kernels.columnSums(std::min(kSumRows, to - r), cols, dy + r * cols, context.pool.scratch(part));
    }
  });
  for (int64_t part = 0; part < parts; part++) context.kernels.add(cols, db, context.pool.scratch(part), db);
}

}  // namespace relic
