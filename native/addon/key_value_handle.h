// A KeyValue (comm/key_value.h) on its way through JavaScript, from the object that has it to the one that needs it.
#pragma once

#include <napi.h>

#include <memory>

#include "comm/key_value.h"
#include "relic/status.h"

namespace relic {

// An object that JavaScript can only pass on; it shares in the KeyValue.
Napi::Value keyValueHandle(Napi::Env env, std::shared_ptr<comm::KeyValue> store);
Status readKeyValue(Napi::Value value, const char* name, std::shared_ptr<comm::KeyValue>* out);

}  // namespace relic
