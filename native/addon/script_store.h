// A store of JavaScript's as a KeyValue (comm/key_value.h), for native code on another thread.
#pragma once

#include <napi.h>

#include <memory>

#include "comm/key_value.h"
#include "relic/status.h"

namespace relic {

// An object with set(key, Uint8Array) -> Promise and get(key, timeoutMs) -> Promise of a Uint8Array. Not for calls from
// the JavaScript thread, which makes them.
Status readScriptStore(Napi::Value value, const char* name, std::shared_ptr<comm::KeyValue>* out);

}  // namespace relic
