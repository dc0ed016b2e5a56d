// The saved tensors of a model: parameters and buffers.
#pragma once

#include <cstdint>
#include <vector>

#include "arena.h"
#include "relic/program.h"

namespace relic {

// Parameters lie one after another in state order, so that neighbours can be updated together.
class States {
 public:
  explicit States(const Program& program);

  int64_t count() const { return static_cast<int64_t>(offsets_.size()); }
  int64_t length(int64_t state) const { return specs_[static_cast<size_t>(state)].elements; }
  // (length)
  float* values(int64_t state) { return memory_.data() + offsets_[static_cast<size_t>(state)]; }
  const float* values(int64_t state) const { return memory_.data() + offsets_[static_cast<size_t>(state)]; }
  // The memory of all states, and where in it a state begins.
  float* all() { return memory_.data(); }
  size_t offset(int64_t state) const { return offsets_[static_cast<size_t>(state)]; }
  // Parameters are the first so many floats of it, buffers the rest.
  size_t parameterFloats() const { return parameterFloats_; }
  size_t bytes() const { return memory_.bytes(); }

 private:
  const std::vector<StateSpec>& specs_;
  std::vector<size_t> offsets_;
  size_t parameterFloats_ = 0;
  Arena memory_;
};

}  // namespace relic
