#include "cuda/states.h"

#include "cpu/arena.h"
#include "cuda/ops.h"

namespace relic::cuda {

Status States::create(Context& context, const Program& program, Format copyFormat) {
  specs_ = program.states;
  format_ = copyFormat;
  offsets_.resize(specs_.size());
  size_t at = 0;
  for (const bool parameters : {true, false}) {
    for (size_t i = 0; i < specs_.size(); i++) {
      if (specs_[i].parameter != parameters) continue;
      offsets_[i] = at;
      at += wholeLines(static_cast<size_t>(specs_[i].elements));
    }
    if (parameters) parameterFloats_ = at;
  }
  floats_ = at;
  const auto floats = static_cast<int64_t>(at);
  RELIC_TRY(memory_.fit(at * sizeof(float), "the parameters"));
  RELIC_TRY(clear(context, floats, {all(), Format::float32}));
  if (format_ != Format::float32) {
    RELIC_TRY(copy_.fit(at * bytesOf(format_), "the 16-bit copy of the parameters"));
    RELIC_TRY(clear(context, floats, copy(0)));
  }
  for (size_t i = 0; i < specs_.size(); i++) {
    if (specs_[i].parameter) continue;
    const std::vector<float> values(static_cast<size_t>(specs_[i].elements), specs_[i].initial);
    RELIC_TRY(write(context, static_cast<int64_t>(i), values.data()));
  }
  return context.synchronize();
}

Status States::renewCopy(Context& context) {
  if (format_ == Format::float32) return Status::success();
  return copyOrAdd(context, static_cast<int64_t>(floats_), {all(), Format::float32}, copy(0), false);
}

Tensor States::copy(size_t offset) const {
  const Tensor whole{format_ == Format::float32 ? memory_.as<void>() : copy_.as<void>(), format_};
  return whole.from(static_cast<int64_t>(offset));
}

Status States::write(Context& context, int64_t state, const float* host) {
  RELIC_CUDA_TRY(cudaMemcpyAsync(values(state), host, stateBytes(state), cudaMemcpyHostToDevice, context.stream()));
  if (format_ != Format::float32) {
    RELIC_TRY(copyOrAdd(context, length(state), {values(state), Format::float32}, copy(offset(state)), false));
  }
  return context.synchronize();
}

Status States::read(const Context& context, int64_t state, float* host) const {
  RELIC_CUDA_TRY(cudaMemcpyAsync(host, values(state), stateBytes(state), cudaMemcpyDeviceToHost, context.stream()));
  return context.synchronize();
}

}  // namespace relic::cuda
