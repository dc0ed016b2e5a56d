#include "cuda/optimizer_state.h"

#include "cpu/arena.h"
#include "cuda/rank_exchange.h"

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
                              const OptimizerState* previous, int64_t applied) {
  settings_ = settings;
  applied_ = applied;
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
  return findRuns(context);
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

Status OptimizerState::writeMoments(Context& context, int64_t state, const States& states,
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
  return findRuns(context);
}

Status OptimizerState::findRuns(Context& context) {
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
  std::vector<int64_t> bases;
  for (const Run& run : runs_) bases.push_back(run.steps - applied_);
  // Nothing may be under way that reads the old ones.
  RELIC_TRY(context.synchronize());
  RELIC_TRY(bases_.fit(bases.size() * sizeof(int64_t), "the optimiser's step counts"));
  RELIC_TRY(constants_.fit(runs_.size() * sizeof(UpdateConstants), "the optimiser's step counts"));
  if (bases.empty()) return Status::success();
  RELIC_CUDA_TRY(cudaMemcpyAsync(bases_.as<void>(), bases.data(), bases.size() * sizeof(int64_t),
                                 cudaMemcpyHostToDevice, context.stream()));
  return context.synchronize();
}

std::vector<comm::GradientRange> OptimizerState::ranges(const std::vector<int32_t>& lastSteps) const {
  std::vector<comm::GradientRange> ranges;
  for (const Slot& slot : trained_) {
    ranges.push_back({slot.offset, slot.room, lastSteps[static_cast<size_t>(slot.state)]});
  }
  return ranges;
}

void OptimizerState::describe(comm::Fingerprint* fingerprint) const {
  fingerprint->add(settings_.type).add(settings_.beta2).add(settings_.eps).add(settings_.weightDecay);
  for (const Slot& slot : trained_) fingerprint->add(slot.state).add(slot.room);
}

Status OptimizerState::synchronize(Context& context, RankExchange& exchange) {
  std::vector<int64_t> steps;
  for (const Slot& slot : trained_) steps.push_back(slot.steps);
  if (steps.empty()) return Status::success();
  for (const Buffer* moments : {&first_, &second_}) {
    if (moments->bytes() > 0) RELIC_TRY(exchange.broadcast(moments->as<void>(), floats_ * sizeof(float)));
  }
  RELIC_TRY(exchange.waitForAll());
  RELIC_TRY(exchange.comm().broadcastOnHost(steps.data(), steps.size() * sizeof(int64_t), 0));
  for (size_t i = 0; i < steps.size(); i++) trained_[i].steps = steps[i];
  return findRuns(context);
}

Status OptimizerState::step(Context& context, const States& states, const StepOutcome* outcome,
                            const StepInputs* inputs, float factor) {
  if (runs_.empty()) return Status::success();
  RELIC_TRY(prepareUpdates(context, static_cast<int64_t>(runs_.size()), bases_.as<int64_t>(), inputs, outcome,
                           settings_, constants_.as<UpdateConstants>()));
  for (size_t i = 0; i < runs_.size(); i++) {
    const Run& run = runs_[i];
    const Update update{static_cast<int64_t>(run.length),
                        states.all() + run.stateOffset,
                        gradient_.as<float>() + run.offset,
                        first_.as<float>() + run.offset,
                        second_.bytes() > 0 ? second_.as<float>() + run.offset : nullptr,
                        states.ownCopy(run.stateOffset),
                        factor,
                        constants_.as<UpdateConstants>() + i,
                        outcome};
    RELIC_TRY(settings_.type == kAdamW ? adamwUpdate(context, update) : sgdUpdate(context, update));
  }
  return Status::success();
}

void OptimizerState::advance(int64_t applied) {
  for (Slot& slot : trained_) slot.steps += applied - applied_;
  for (Run& run : runs_) run.steps += applied - applied_;
  applied_ = applied;
}

}  // namespace relic::cuda
