#include "addon/key_value_handle.h"

#include <utility>

#include "addon/arguments.h"

namespace relic {
namespace {

// Random: no other object has it.
constexpr napi_type_tag kTag = {0x6f1d5c3a90b84e27, 0x8c52d7e41fa3960b};

using Shared = std::shared_ptr<comm::KeyValue>;

}  // namespace

Napi::Value keyValueHandle(Napi::Env env, Shared store) {
  auto object = Napi::Object::New(env);
  auto owned = std::make_unique<Shared>(std::move(store));
  const auto release = [](napi_env, void* data, void*) { delete static_cast<Shared*>(data); };
  if (napi_wrap(env, object, owned.get(), release, nullptr, nullptr) == napi_ok) owned.release();
  object.TypeTag(&kTag);
  return object;
}

Status readKeyValue(Napi::Value value, const char* name, Shared* out) {
  Napi::Object object;
  RELIC_TRY(readObject(value, name, &object));
  void* data = nullptr;
  if (!object.CheckTypeTag(&kTag) || napi_unwrap(value.Env(), value, &data) != napi_ok) {
    return wrongArgument(name, "the handle of a store that ranks share");
  }
  *out = *static_cast<Shared*>(data);
  return Status::success();
}

}  // namespace relic
