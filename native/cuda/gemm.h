// Matrix products on the device: cuBLASLt's, and a simple kernel of our own for tests.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cuda/context.h"
#include "cuda/tensor.h"
#include "relic/status.h"

namespace relic::cuda {

// A row-major operand with `ld` elements from row to row; `transposed` when memory holds its transpose.
struct Operand {
  const void* data;
  int64_t ld;
  bool transposed;
};

// c (m, n) (+)= a (m, k) b (k, n) + bias (n), summed in float32.
struct Product {
  int64_t m, n, k;
  Format operands;
  Operand a, b;
  Tensor c;     // of the operands' format or float32, without gaps between rows
  Tensor bias;  // of c's format, or null
  bool accumulate;
};

class Gemm {
 public:
  virtual ~Gemm() = default;
  virtual Status multiply(Context& context, const Product& product) = 0;
  // Name and version.
  virtual std::string describe() const = 0;
  virtual size_t bytes() const = 0;
};

// Opens the first of `paths` that works. RELIC_ENGINE_UNAVAILABLE when none does. Its plans forbid every reduction whose
// order could change, so that equal calls give equal bits.
Status openCublasLt(const std::vector<std::string>& paths, std::unique_ptr<Gemm>* out);

std::unique_ptr<Gemm> makeSimpleGemm();

// Sizes that share a plan: up to eight to an octave, `size` or above.
int64_t planSize(int64_t size);

}  // namespace relic::cuda
