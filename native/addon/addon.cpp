// The addon's export table. src/engine/native/binding.ts is its typed mirror; a test compares the two.
#include <napi.h>

#include "addon/comm_object.h"
#include "addon/cuda_devices.h"
#include "addon/model_object.h"
#include "addon/ranks_object.h"
#include "cpu/model.h"

namespace {

struct AddonData {
  Napi::FunctionReference modelClass, commClass, ranksClass;
};

// version(): the package version this binary was built from.
Napi::Value version(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), RELIC_VERSION); }

Napi::Array listOf(Napi::Env env, const std::vector<const char*>& names) {
  auto list = Napi::Array::New(env, names.size());
  for (uint32_t i = 0; i < names.size(); i++) list.Set(i, Napi::String::New(env, names[i]));
  return list;
}

// isas(): kernel sets that this binary has and this CPU runs in float32, best first.
Napi::Value isas(const Napi::CallbackInfo& info) { return listOf(info.Env(), relic::availableIsas()); }

// bf16Isas(): those that have products of bfloat16 factors, best first.
Napi::Value bf16Isas(const Napi::CallbackInfo& info) { return listOf(info.Env(), relic::bf16Isas()); }

// openComm({backend, rank, size, ...}): see CommObject.
Napi::Value openComm(const Napi::CallbackInfo& info) {
  return relic::CommObject::open(info, info.Env().GetInstanceData<AddonData>()->commClass);
}

// createModel({program, store, threads, isa, bf16, encoderCacheBytes, comm?, cuda?}): see ModelObject.
Napi::Value createModel(const Napi::CallbackInfo& info) {
  return info.Env().GetInstanceData<AddonData>()->modelClass.New({info[0]});
}

// joinRanks({...}): see RanksObject.
Napi::Value joinRanks(const Napi::CallbackInfo& info) {
  return relic::RanksObject::join(info, info.Env().GetInstanceData<AddonData>()->ranksClass);
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  auto* data = new AddonData{Napi::Persistent(relic::ModelObject::define(env)),
                             Napi::Persistent(relic::CommObject::define(env)),
                             Napi::Persistent(relic::RanksObject::define(env))};
  env.SetInstanceData(data);
  exports.Set("version", Napi::Function::New(env, version, "version"));
  exports.Set("isas", Napi::Function::New(env, isas, "isas"));
  exports.Set("bf16Isas", Napi::Function::New(env, bf16Isas, "bf16Isas"));
  exports.Set("cudaDevices", Napi::Function::New(env, relic::listCudaDevices, "cudaDevices"));
  exports.Set("openComm", Napi::Function::New(env, openComm, "openComm"));
  exports.Set("ncclId", Napi::Function::New(env, relic::makeNcclId, "ncclId"));
  exports.Set("createModel", Napi::Function::New(env, createModel, "createModel"));
  exports.Set("hostStore", Napi::Function::New(env, relic::hostStore, "hostStore"));
  exports.Set("joinRanks", Napi::Function::New(env, joinRanks, "joinRanks"));
  return exports;
}

}  // namespace

NODE_API_MODULE(relic, initialise)
