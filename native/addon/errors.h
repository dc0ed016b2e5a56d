// Failures of native code as errors of JavaScript.
#pragma once

#include <napi.h>

#include <exception>
#include <new>

#include "relic/status.h"

namespace relic {

inline Napi::Error toError(Napi::Env env, const Status& status) {
  auto error = Napi::Error::New(env, status.message);
  error.Set("code", Napi::String::New(env, status.code));
  return error;
}

// For calls that answer at once: throws the failure in JavaScript.
inline Napi::Value failed(Napi::Env env, const Status& status) {
  toError(env, status).ThrowAsJavaScriptException();
  return env.Undefined();
}

// Runs work that may allocate, the only source of exceptions below this layer.
template <typename Work>
Status guarded(Work&& work) noexcept {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return Status::failure("RELIC_OUT_OF_MEMORY", "the native engine has no memory left for this batch or model");
  } catch (const std::exception& error) {
    return Status::failure("RELIC_ENGINE_CALL", error.what());
  }
}

}  // namespace relic
