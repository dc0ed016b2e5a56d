#include "optimizer_state.h"

#include <algorithm>

namespace relic {
namespace {

constexpr int kAdamW = 0;

}  // namespace

OptimizerState::OptimizerState(const OptimizerSettings& settings, const std::vector<int32_t>& trained,
                               const States& states, const OptimizerState* previous)
    : settings_(settings), slots_(static_cast<size_t>(states.count()), -1) {
  for (const int32_t state : trained) {
    const size_t room = wholeLines(static_cast<size_t>(states.length(state)));
    slots_[static_cast<size_t>(state)] = static_cast<int32_t>(trained_.size());
    trained_.push_back({state, floats_, states.offset(state), room, 0});
    floats_ += room;
  }
  // The room between parameters stays zero, where a step changes nothing that is read.
  gradient_ = Arena(floats_);
  first_ = Arena(floats_);
  if (settings.type == kAdamW) second_ = Arena(floats_);
  if (previous != nullptr && previous->settings_.type == settings.type) adopt(*previous, states);
  findRuns();
}

void OptimizerState::adopt(const OptimizerState& previous, const States& states) {
  for (Slot& slot : trained_) {
    if (!previous.trains(slot.state)) continue;
    const size_t from = previous.offsetOf(slot.state);
    const auto length = static_cast<size_t>(states.length(slot.state));
    slot.steps = previous.slotOf(slot.state).steps;
    std::copy_n(previous.first_.data() + from, length, first_.data() + slot.offset);
    if (settings_.type == kAdamW) std::copy_n(previous.second_.data() + from, length, second_.data() + slot.offset);
  }
}

void OptimizerState::readMoments(int64_t state, const States& states, const Moments& out) const {
  const Slot& slot = slotOf(state);
  const auto length = static_cast<size_t>(states.length(state));
  *out.steps = slot.steps;
  std::copy_n(first_.data() + slot.offset, length, out.first);
  if (settings_.type == kAdamW) std::copy_n(second_.data() + slot.offset, length, out.second);
}

void OptimizerState::writeMoments(int64_t state, const States& states, const Moments& values) {
  Slot& slot = trained_[static_cast<size_t>(slots_[static_cast<size_t>(state)])];
  const auto length = static_cast<size_t>(states.length(state));
  slot.steps = *values.steps;
  std::copy_n(values.first, length, first_.data() + slot.offset);
  if (settings_.type == kAdamW) std::copy_n(values.second, length, second_.data() + slot.offset);
  findRuns();
}

// Every step counts every parameter once, so the runs hold until what is trained or its step counts change.
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

Status OptimizerState::synchronize(comm::GradientExchange& exchange) {
  std::vector<int64_t> steps;
  for (const Slot& slot : trained_) steps.push_back(slot.steps);
  for (const Arena* moments : {&first_, &second_}) exchange.broadcast(moments->data(), moments->bytes());
  const uint64_t last = exchange.broadcast(steps.data(), steps.size() * sizeof(int64_t));
  if (Status status = exchange.queue().wait(last); !status.ok()) return status;
  for (size_t i = 0; i < steps.size(); i++) trained_[i].steps = steps[i];
  findRuns();
  return Status::success();
}

void OptimizerState::step(Context& context, States& states, float factor, double lr, double momentum) {
  if (factor != 1) scale(context, static_cast<int64_t>(floats_), factor, gradient_.data());
  for (Slot& slot : trained_) slot.steps++;
  for (Run& run : runs_) {
    run.steps++;
    const auto count = static_cast<int64_t>(run.length);
    float* parameters = states.all() + run.stateOffset;
    const float* gradients = gradient_.data() + run.offset;
    float* first = first_.data() + run.offset;
    if (settings_.type == kAdamW) {
      adamwUpdate(context, count, parameters, gradients, first, second_.data() + run.offset, lr, momentum,
                  settings_.beta2, settings_.eps, settings_.weightDecay, run.steps);
    } else {
      sgdUpdate(context, count, parameters, gradients, first, lr, momentum, settings_.weightDecay, run.steps);
    }
  }
}

}  // namespace relic
