// What is trained, with its gradients, moments and step counts.
#pragma once

#include <cstdint>
#include <vector>

#include "arena.h"
#include "comm/exchange.h"
#include "model.h"
#include "ops.h"
#include "relic/program.h"
#include "states.h"

namespace relic {

class OptimizerState {
 public:
  // Takes over the moments and step counts of `previous` (or null) for the parameters both train. `states` outlives it.
  OptimizerState(const OptimizerSettings& settings, const std::vector<int32_t>& trained, const States& states,
                 const OptimizerState* previous);

  bool trains(int64_t state) const { return slots_[static_cast<size_t>(state)] >= 0; }
  // (length of the state)
  float* gradient(int64_t state) { return gradient_.data() + offsetOf(state); }
  const float* gradient(int64_t state) const { return gradient_.data() + offsetOf(state); }

  // As Model::readMoments and writeMoments, for a trained state.
  void readMoments(int64_t state, const States& states, const Moments& out) const;
  void writeMoments(int64_t state, const States& states, const Moments& values);

  // Multiplies every gradient, then takes one step with it.
  void step(Context& context, States& states, float factor, double lr, double momentum);

  // The memory of all gradients, and the range of each trained parameter in it. `lastSteps`: by state.
  float* gradients() { return gradient_.data(); }
  std::vector<comm::GradientRange> ranges(const std::vector<int32_t>& lastSteps) const;
  // What ranks must have in common to train together.
  void describe(comm::Fingerprint* fingerprint) const;
  // Moments and step counts become those of rank 0.
  Status synchronize(comm::GradientExchange& exchange);

  size_t bytes() const { return gradient_.bytes() + first_.bytes() + second_.bytes(); }

 private:
  // One trained parameter; offsets count floats.
  struct Slot {
    int32_t state;
    size_t offset, stateOffset;  // in the memory here, and in that of the states
    size_t room;                 // its length in whole cache lines
    int64_t steps;
  };
  // Neighbours in both memories with equal step counts, which one call updates.
  struct Run {
    size_t offset, stateOffset, length;
    int64_t steps;
  };

  const Slot& slotOf(int64_t state) const {
    return trained_[static_cast<size_t>(slots_[static_cast<size_t>(state)])];
  }
  size_t offsetOf(int64_t state) const { return slotOf(state).offset; }
  void adopt(const OptimizerState& previous, const States& states);
  void findRuns();

  OptimizerSettings settings_;
  std::vector<Slot> trained_;
  std::vector<int32_t> slots_;  // by state: index into trained_, or -1
  std::vector<Run> runs_;
  size_t floats_ = 0;
  Arena gradient_, first_, second_;
};

}  // namespace relic
