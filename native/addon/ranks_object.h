// This process as a rank of a run, for JavaScript: the store's client, the watchdog and, on rank 0, the store itself.
#pragma once

#include <napi.h>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "addon/engine_thread.h"
#include "addon/shared_store.h"
#include "comm/store_client.h"
#include "comm/store_server.h"
#include "comm/watchdog.h"

namespace relic {

class RanksObject : public Napi::ObjectWrap<RanksObject> {
 public:
  static Napi::Function define(Napi::Env env);
  // ({host, port, rank, size, runId, identity, version, hostName, timeoutMs, heartbeatTimeoutMs, collectiveTimeoutMs,
  //   watchParent}) -> Promise of a RanksObject, once all ranks have joined.
  static Napi::Value join(const Napi::CallbackInfo& info, const Napi::FunctionReference& ranksClass);

  // (options), as above.
  explicit RanksObject(const Napi::CallbackInfo& info);
  ~RanksObject() override;

 private:
  class CallJob;
  using Work = std::function<Status(comm::StoreClient&)>;
  using Result = std::function<Napi::Value(Napi::Env)>;

  Napi::Value rank(const Napi::CallbackInfo& info);
  Napi::Value size(const Napi::CallbackInfo& info);
  // (name, Uint8Array) -> Promise of an array of Uint8Array
  Napi::Value allGather(const Napi::CallbackInfo& info);
  // (name, Uint8Array | null) -> Promise of a Uint8Array
  Napi::Value broadcast(const Napi::CallbackInfo& info);
  // (name, timeoutMs) -> Promise
  Napi::Value barrier(const Napi::CallbackInfo& info);
  // (key, Uint8Array) -> Promise
  Napi::Value set(const Napi::CallbackInfo& info);
  // (key, timeoutMs) -> Promise of a Uint8Array
  Napi::Value get(const Napi::CallbackInfo& info);
  // (key, increment) -> Promise of a number
  Napi::Value add(const Napi::CallbackInfo& info);
  // (step, what)
  Napi::Value progress(const Napi::CallbackInfo& info);
  // (path): an existing folder for `rank.<r>.fail.json`
  Napi::Value setFailDirectory(const Napi::CallbackInfo& info);
  // () -> a handle for openComm
  Napi::Value keyValue(const Napi::CallbackInfo& info);
  // (code, message)
  Napi::Value fail(const Napi::CallbackInfo& info);
  // () -> Promise
  Napi::Value leave(const Napi::CallbackInfo& info);

  Status create(const Napi::CallbackInfo& info);
  Status readOptions(const Napi::Object& options);
  Status available() const;
  // On the thread of calls.
  Status joinAndWatch(comm::StoreClient& client);
  // Does `work` after all earlier calls; returns the promise of its result.
  Napi::Value submit(Napi::Env env, Work work, Result result, bool isLast = false);
  void settle(Napi::Env env, CallJob& job);
  // Ends all threads, and a waiting call.
  void release(Napi::Env env);
  static void onTeardown(void* self);

  comm::JoinOptions options_;
  bool watchParent_ = false;
  const std::shared_ptr<FailDirectory> failDirectory_ = std::make_shared<FailDirectory>();
  std::unique_ptr<comm::StoreServer> server_;
  std::shared_ptr<SharedStore> store_;
  std::unique_ptr<comm::Watchdog> watchdog_;
  std::unique_ptr<EngineThread> thread_;
  std::deque<std::unique_ptr<CallJob>> waiting_;
  bool inFlight_ = false;
  bool isEnded_ = false;
};

// hostStore({address, port}): starts rank 0's store, which this process's join() then takes; returns the port.
Napi::Value hostStore(const Napi::CallbackInfo& info);

}  // namespace relic
