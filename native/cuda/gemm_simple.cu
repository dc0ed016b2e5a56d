// A matrix product without a library: a thread an element. For tests, where nothing else is at hand.
#include "cuda/gemm.h"
#include "cuda/launch.h"

namespace relic::cuda {
namespace {

__global__ void __launch_bounds__(kThreads) productKernel(Product p) {
  const Tensor a{const_cast<void*>(p.a.data), p.operands}, b{const_cast<void*>(p.b.data), p.operands};
  const int64_t aRow = p.a.transposed ? 1 : p.a.ld, aStep = p.a.transposed ? p.a.ld : 1;
  const int64_t bStep = p.b.transposed ? 1 : p.b.ld, bCol = p.b.transposed ? p.b.ld : 1;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < p.m * p.n; i += stride) {
    const int64_t row = i / p.n, col = i - row * p.n;
    float sum = 0;
    for (int64_t k = 0; k < p.k; k++) {
      sum = fmaf(loadOne(a, row * aRow + k * aStep), loadOne(b, k * bStep + col * bCol), sum);
    }
    if (p.bias.data != nullptr) sum += loadOne(p.bias, col);
    if (p.accumulate) sum += loadOne(p.c, i);
    storeOne(p.c, i, sum);
  }
}

class SimpleGemm : public Gemm {
 public:
  Status multiply(Context& context, const Product& product) override {
    if (product.m * product.n == 0) return Status::success();
    RELIC_LAUNCH(context, productKernel, gridFor(context, product.m * product.n), dim3(kThreads), product);
    return Status::success();
  }
  std::string describe() const override { return "own matrix product"; }
  size_t bytes() const override { return 0; }
};

}  // namespace

std::unique_ptr<Gemm> makeSimpleGemm() { return std::make_unique<SimpleGemm>(); }

}  // namespace relic::cuda
