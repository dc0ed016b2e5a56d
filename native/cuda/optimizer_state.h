// What is trained, with its gradients, moments and step counts: the twin of native/cpu/optimizer_state.h.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/exchange.h"
#include "cpu/model.h"
#include "cuda/context.h"
#include "cuda/ops.h"
#include "cuda/states.h"
#include "relic/status.h"

namespace relic::cuda {

class RankExchange;

class OptimizerState {
 public:
  // Takes over the moments and step counts of `previous` (or null) for the parameters both train. applied: what
  // StepOutcome::applied is now.
  Status create(Context& context, const OptimizerSettings& settings, const std::vector<int32_t>& trained,
                const States& states, const OptimizerState* previous, int64_t applied);

  bool trains(int64_t state) const { return slots_[static_cast<size_t>(state)] >= 0; }
  // (length of the state), on the device, as the backward pass left it. All gradients lie in one piece of memory.
  float* gradient(int64_t state) const { return gradient_.as<float>() + slotOf(state).offset; }
  float* gradients() const { return gradient_.as<float>(); }
  int64_t floats() const { return static_cast<int64_t>(floats_); }

  // As Model::readMoments and writeMoments, for a trained state. Both wait.
  Status readMoments(const Context& context, int64_t state, const States& states, const Moments& out) const;
  Status writeMoments(Context& context, int64_t state, const States& states, const Moments& values);

  // Where the gradient of each trained state lies. lastSteps: by state, see lastGradientSteps in cpu/plan.h.
  std::vector<comm::GradientRange> ranges(const std::vector<int32_t>& lastSteps) const;
  // Adds what all ranks must have in common.
  void describe(comm::Fingerprint* fingerprint) const;
  // Takes over rank 0's moments and step counts. Waits.
  Status synchronize(Context& context, RankExchange& exchange);

  // Queues one step with the gradients times `factor` over the loss scale; the device skips it when `outcome` says so.
  Status step(Context& context, const States& states, const StepOutcome* outcome, const StepInputs* inputs,
              float factor);
  // To be told what StepOutcome::applied has become.
  void advance(int64_t applied);

  size_t bytes() const {
    return gradient_.bytes() + first_.bytes() + second_.bytes() + bases_.bytes() + constants_.bytes();
  }

 private:
  // One trained parameter; offsets count floats.
  struct Slot {
    int32_t state;
    size_t offset, stateOffset;  // in the memory here, and in that of the states
    size_t room;                 // its length in whole cache lines
    int64_t steps;
  };
  // Neighbours in both memories with equal step counts, which one launch updates.
  struct Run {
    size_t offset, stateOffset, length;
    int64_t steps;
  };

  const Slot& slotOf(int64_t state) const {
    return trained_[static_cast<size_t>(slots_[static_cast<size_t>(state)])];
  }
  Status adopt(Context& context, const OptimizerState& previous, const States& states);
  // Neighbours with equal counts of steps: they hold until what is trained, or a count, changes by itself. Waits.
  Status findRuns(Context& context);

  OptimizerSettings settings_{};
  std::vector<Slot> trained_;
  std::vector<int32_t> slots_;  // by state: index into trained_, or -1
  std::vector<Run> runs_;
  size_t floats_ = 0;
  int64_t applied_ = 0;
  Buffer gradient_, first_, second_;
  Buffer bases_;      // (runs) int64: step counts when StepOutcome::applied was 0
  Buffer constants_;  // (runs)
};

}  // namespace relic::cuda
