// Communication between ranks (comm/) as a JavaScript object. The thread of its queue makes all calls; JavaScript waits
// for promises.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/cuda_comm.h"
#include "comm/call_queue.h"
#include "relic/status.h"

namespace relic {

class CommObject : public Napi::ObjectWrap<CommObject> {
 public:
  static Napi::Function define(Napi::Env env);

  explicit CommObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<CommObject>(info) {}
  ~CommObject() override;

  // openComm({backend: 'mpi' | 'gloo', rank, size, launcher: 'openmpi' | 'mpich' | 'unknown', mpiLibrary: string,
  // glooLibrary: string, address: string, timeoutMs, store?}), or openComm({backend: 'nccl', rank, size, library: string,
  // device, id: Uint8Array(128), ncclPaths: string[], timeoutMs}) -> Promise of the object. `constructor` is that of
  // define().
  static Napi::Value open(const Napi::CallbackInfo& info, const Napi::FunctionReference& constructor);
  // That of a handle given as an argument.
  static Status readQueue(Napi::Value value, const char* name, std::shared_ptr<comm::CallQueue>* out);
  // Likewise, of one that was opened over NCCL.
  static Status readCudaComm(Napi::Value value, const char* name, std::shared_ptr<CudaComm>* out);

 private:
  struct Pending;
  class Link;

  Napi::Value description(const Napi::CallbackInfo& info);
  // (bytes: Uint8Array | null) -> Promise of a Uint8Array: rank 0's bytes; other ranks give null.
  Napi::Value broadcast(const Napi::CallbackInfo& info);
  // -> Promise. Collective: without it the launcher takes the end of a process for a crash. Later calls fail.
  Napi::Value close(const Napi::CallbackInfo& info);

  Status start(Napi::Env env, Napi::Value options, Napi::Value* promise);
  Status available() const;
  std::unique_ptr<Pending> begin(Napi::Env env);
  comm::CallQueue::Done ended(Pending* call) const;
  void settle(Napi::Env env, Pending& pending);
  void release(Napi::Env env);
  static void onTeardown(void* self);

  std::shared_ptr<comm::CallQueue> queue_;
  // Null but over NCCL.
  std::shared_ptr<CudaComm> cuda_;
  std::shared_ptr<Link> link_;
  int pendingCount_ = 0;
};

// ncclId(library, ncclPaths: string[]) -> Uint8Array(128): what rank 0 hands to all ranks that open NCCL.
Napi::Value makeNcclId(const Napi::CallbackInfo& info);

}  // namespace relic
