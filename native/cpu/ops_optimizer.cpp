// Parameter updates, src/engine/typescript/optimizer.ts.
#include <cmath>

#include "kernels/kernels.h"
#include "ops.h"
#include "pool.h"

namespace relic {
namespace {

// Memory moves about this fast for one thread; ranges are whole pages.
constexpr double kNanosecondsPerAdamW = 0.8;
constexpr double kNanosecondsPerSgd = 0.5;
constexpr int64_t kUnit = 1024;

}  // namespace

void adamwUpdate(Context& context, int64_t count, float* p, const float* g, float* m, float* v, double lr, double beta1,
                 double beta2, double eps, double weightDecay, int64_t steps) {
  const double step = static_cast<double>(steps);
  const AdamWConstants constants{static_cast<float>(1 - lr * weightDecay),
                                 static_cast<float>(lr / (1 - std::pow(beta1, step))),
                                 static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, step))),
                                 static_cast<float>(1 - beta1),
                                 static_cast<float>(beta2),
                                 static_cast<float>(1 - beta2),
                                 static_cast<float>(eps)};
  context.pool.parallelRanges(count, kUnit, kNanosecondsPerAdamW * static_cast<double>(count),
                              [&](int64_t from, int64_t to, int64_t) {
                                context.kernels.adamw(to - from, constants, p + from, g + from, m + from, v + from);
                              });
}

void sgdUpdate(Context& context, int64_t count, float* p, const float* g, float* buf, double lr, double momentum,
               double weightDecay, int64_t steps) {
  const float rate = static_cast<float>(lr), decay = static_cast<float>(weightDecay);
  const float kept = steps == 1 ? 0.0f : static_cast<float>(momentum);
  const auto update = [&](int64_t from, int64_t to, int64_t) {
    for (int64_t i = from; i < to; i++) {
      const float d = g[i] + decay * p[i];
      // The first buffer is the gradient whatever the memory held before.
      buf[i] = kept == 0.0f ? d : kept * buf[i] + d;
      p[i] -= rate * buf[i];
    }
  };
  context.pool.parallelRanges(count, kUnit, kNanosecondsPerSgd * static_cast<double>(count), update);
}

}  // namespace relic
