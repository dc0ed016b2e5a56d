#include "cuda/optimizer_state.h"

#include "cpu/arena.h"

namespace relic::cuda {
namespace {

constexpr int kAdamW = 0;

Status zeros(Context& context, size_t floats, const char* what, Buffer* out) {
  RELIC_TRY(out->fit(floats * sizeof(float), what));
  return clear(context, static_cast<int64_t>(floats), {out->as<void>(), Format::float32});
}

}  // namespace

Status OptimizerState::create(Context& context, const OptimizerSettings& settings,
                              const std::vector<int32_t>& trained, const States& states,
                              const OptimizerState* previous) {
  settings_ = settings;
  slots_.assign(static_cast<size_t>(states.count()), -1);
  for (const int32_t state : trained) {
    const size_t room = wholeLines(static_cast<size_t>(states.length(state)));
    slots_[static_cast<size_t>(state)] = static_cast<int32_t>(trained_.size());
    trained_.push_back({state, floats_, states.offset(state), room, 0});
    floats_ += room;
  }
  // The room between parameters stays zero, where a step changes nothing that is read.
  RELIC_TRY(zeros(context, floats_, "the gradients", &gradient_));
  RELIC_TRY(zeros(context, floats_, "the optimiser's moments", &first_));
  if (settings.type == kAdamW) RELIC_TRY(zeros(context, floats_, "the optimiser's moments", &second_));
  if (previous != nullptr && previous->settings_.type == settings.type) RELIC_TRY(adopt(context, *previous, states));
  findRuns();
  return context.synchronize();
}

Status OptimizerState::adopt(Context& context, const OptimizerState& previous, const States& states) {
  for (Slot& slot : trained_) {
    if (!previous.trains(slot.state)) continue;
    const Slot& from = previous.slotOf(slot.state);
    slot.steps = from.steps;
    const auto bytes = static_cast<size_t>(states.length(slot.state)) * sizeof(float);
    const auto take = [&](const Buffer& source, const Buffer& target) -> Status {
      if (source.bytes() == 0) return Status::success();
      RELIC_CUDA_TRY(cudaMemcpyAsync(target.as<float>() + slot.offset, source.as<float>() + from.offset, bytes,
                                     cudaMemcpyDeviceToDevice, context.stream()));
      return Status::success();
    };
    RELIC_TRY(take(previous.first_, first_));
    RELIC_TRY(take(previous.second_, second_));
  }
  return Status::success();
}

Status OptimizerState::readMoments(const Context& context, int64_t state, const States& states,
                                   const Moments& out) const {
  const Slot& slot = slotOf(state);
  *out.steps = slot.steps;
  const auto bytes = static_cast<size_t>(states.length(state)) * sizeof(float);
  RELIC_CUDA_TRY(cudaMemcpyAsync(out.first, first_.as<float>() + slot.offset, bytes, cudaMemcpyDeviceToHost,
                                 context.stream()));
  if (settings_.type == kAdamW) {
    RELIC_CUDA_TRY(cudaMemcpyAsync(out.second, second_.as<float>() + slot.offset, bytes, cudaMemcpyDeviceToHost,
                                   context.stream()));
  }
  return context.synchronize();
}

Status OptimizerState::writeMoments(const Context& context, int64_t state, const States& states,
                                    const Moments& values) {
  Slot& slot = trained_[static_cast<size_t>(slots_[static_cast<size_t>(state)])];
  slot.steps = *values.steps;
  const auto bytes = static_cast<size_t>(states.length(state)) * sizeof(float);
  RELIC_CUDA_TRY(cudaMemcpyAsync(first_.as<float>() + slot.offset, values.first, bytes, cudaMemcpyHostToDevice,
                                 context.stream()));
  if (settings_.type == kAdamW) {
    RELIC_CUDA_TRY(cudaMemcpyAsync(second_.as<float>() + slot.offset, values.second, bytes, cudaMemcpyHostToDevice,
                                   context.stream()));
  }
  findRuns();
  return context.synchronize();
}

// Neighbours with equal counts of steps: they hold until what is trained, or a count, changes by itself.
void OptimizerState::findRuns() {
  runs_.clear();
  for (const Slot& slot : trained_) {
    if (!runs_.empty()) {
      Run& run = runs_.back();
      if (run.stateOffset + run.length == slot.stateOffset && run.steps == slot.steps) {
        run.length += slot.room;
        continue;
      }
    }
    runs_.push_back({slot.offset, slot.stateOffset, slot.room, slot.steps});
  }
}

Status OptimizerState::step(Context& context, const States& states, const StepOutcome* outcome, float factor,
                            double lr, double momentum) {
  for (const Run& run : runs_) {
    const Update update{static_cast<int64_t>(run.length),
                        states.all() + run.stateOffset,
                        gradient_.as<float>() + run.offset,
                        first_.as<float>() + run.offset,
                        second_.bytes() > 0 ? second_.as<float>() + run.offset : nullptr,
                        states.ownCopy(run.stateOffset),
                        factor,
                        outcome};
    if (settings_.type == kAdamW) {
      RELIC_TRY(adamwUpdate(context, update, lr, momentum, settings_.beta2, settings_.eps, settings_.weightDecay,
                            run.steps + 1));
    } else {
      RELIC_TRY(sgdUpdate(context, update, lr, momentum, settings_.weightDecay, run.steps + 1));
    }
  }
  return Status::success();
}

void OptimizerState::count() {
  for (Slot& slot : trained_) slot.steps++;
  for (Run& run : runs_) run.steps++;
}

}  // namespace relic::cuda
