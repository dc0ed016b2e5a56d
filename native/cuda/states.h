// The saved tensors of a model on the device: float32, and a copy of the parameters in the format of matrix operands.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/context.h"
#include "cuda/tensor.h"
#include "relic/program.h"
#include "relic/status.h"

namespace relic::cuda {

// Parameters lie one after another in state order, so that neighbours can be updated together.
class States {
 public:
  // Buffers get their initial values, parameters zeros. `program` outlives it.
  Status create(Context& context, const Program& program, Format copyFormat);

  int64_t count() const { return static_cast<int64_t>(offsets_.size()); }
  int64_t length(int64_t state) const { return specs_[static_cast<size_t>(state)].elements; }
  // The first element of a state, in floats from all().
  size_t offset(int64_t state) const { return offsets_[static_cast<size_t>(state)]; }
  // (length)
  float* values(int64_t state) const { return all() + offset(state); }
  float* all() const { return memory_.as<float>(); }
  // Parameters come first, buffers after them.
  size_t floats() const { return floats_; }
  size_t parameterFloats() const { return parameterFloats_; }
  // After all() was written: queues the copy anew, where there is one.
  Status renewCopy(Context& context);
  // The copy from an offset on; the float32 values themselves where there is no other.
  Tensor copy(size_t offset) const;
  // As above, and null where there is no copy of its own.
  Tensor ownCopy(size_t offset) const { return copy_.bytes() > 0 ? copy(offset) : Tensor{}; }

  // values: host memory (length). Both wait.
  Status write(Context& context, int64_t state, const float* values);
  Status read(const Context& context, int64_t state, float* values) const;

  size_t bytes() const { return memory_.bytes() + copy_.bytes(); }

 private:
  size_t stateBytes(int64_t state) const { return static_cast<size_t>(length(state)) * sizeof(float); }

  std::vector<StateSpec> specs_;
  std::vector<size_t> offsets_;
  size_t floats_ = 0, parameterFloats_ = 0;
  Format format_ = Format::float32;
  Buffer memory_, copy_;
};

}  // namespace relic::cuda
