#include "addon/comm_object.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "addon/arguments.h"
#include "addon/errors.h"
#include "addon/script_store.h"
#include "comm/options.h"

namespace relic {
namespace {

// Random: no other object has it.
constexpr napi_type_tag kTag = {0xb1a7c94de02f4386, 0x9e6058f37cd1ab42};
constexpr double kMaxRanks = 1 << 20;

Status readStrings(Napi::Value value, const char* name, std::vector<std::string>* out) {
  if (!value.IsArray()) return wrongArgument(name, "an array");
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) RELIC_TRY(readString(array.Get(i), name, &out->emplace_back()));
  return Status::success();
}

Status readBytes(Napi::Value value, const char* name, std::vector<uint8_t>* out) {
  const bool isBytes = value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
  if (!isBytes) return wrongArgument(name, "a Uint8Array");
  const auto array = value.As<Napi::Uint8Array>();
  out->assign(array.Data(), array.Data() + array.ByteLength());
  return Status::success();
}

Status readNcclOptions(const Napi::Object& object, CudaCommOptions* out) {
  RELIC_TRY(readInteger(object.Get("size"), "size", 1, kMaxRanks, &out->size));
  RELIC_TRY(readInteger(object.Get("rank"), "rank", 0, out->size - 1, &out->rank));
  RELIC_TRY(readString(object.Get("library"), "library", &out->library));
  RELIC_TRY(readInteger(object.Get("device"), "device", 0, kMaxRanks, &out->device));
  RELIC_TRY(readBytes(object.Get("id"), "id", &out->id));
  if (out->id.size() != RELIC_CUDA_ID_BYTES) return wrongArgument("id", "128 bytes");
  RELIC_TRY(readStrings(object.Get("ncclPaths"), "ncclPaths", &out->ncclPaths));
  return readInteger(object.Get("timeoutMs"), "timeoutMs", 1, kMaxInteger, &out->timeoutMs);
}

Status readOptions(const Napi::Object& object, const std::string& backend, comm::CommOptions* out) {
  std::string launcher;
  if (backend != "mpi" && backend != "gloo") return wrongArgument("backend", "mpi, gloo or nccl, received " + backend);
  out->backend = backend == "mpi" ? comm::Backend::mpi : comm::Backend::gloo;
  RELIC_TRY(readInteger(object.Get("size"), "size", 1, kMaxRanks, &out->size));
  RELIC_TRY(readInteger(object.Get("rank"), "rank", 0, out->size - 1, &out->rank));
  RELIC_TRY(readString(object.Get("launcher"), "launcher", &launcher));
  if (launcher == "openmpi") {
    out->launcher = comm::Launcher::openMpi;
  } else if (launcher == "mpich") {
    out->launcher = comm::Launcher::mpich;
  } else if (launcher != "unknown") {
    return wrongArgument("launcher", "openmpi, mpich or unknown, received " + launcher);
  }
  RELIC_TRY(readString(object.Get("mpiLibrary"), "mpiLibrary", &out->mpiLibrary));
  RELIC_TRY(readString(object.Get("glooLibrary"), "glooLibrary", &out->glooLibrary));
  RELIC_TRY(readString(object.Get("address"), "address", &out->address));
  RELIC_TRY(readInteger(object.Get("timeoutMs"), "timeoutMs", 1, kMaxInteger, &out->timeoutMs));
  if (object.Get("store").IsUndefined()) return Status::success();
  return readScriptStore(object.Get("store"), "store", &out->store);
}

}  // namespace

// One call that JavaScript waits for.
struct CommObject::Pending {
  Napi::Promise::Deferred deferred;
  CommObject* owner;
  Status status;
  // What a broadcast gives.
  std::optional<std::vector<uint8_t>> bytes;
  bool opening = false;
};

// Carries ends of calls from the queue's thread to that of JavaScript, which may be gone by then.
class CommObject::Link {
 public:
  static Status make(Napi::Env env, std::shared_ptr<Link>* out) {
    auto link = std::make_shared<Link>();
    const auto name = Napi::String::New(env, "relic-train ranks");
    const napi_status made = napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr,
                                                             nullptr, deliver, &link->function_);
    if (made != napi_ok) return Status::failure("RELIC_ENGINE_UNAVAILABLE", "Node.js refused a thread-safe function");
    napi_unref_threadsafe_function(env, link->function_);
    *out = std::move(link);
    return Status::success();
  }

  // On the queue's thread.
  void send(std::unique_ptr<Pending> pending) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (function_ == nullptr) return;
    const napi_status sent = napi_call_threadsafe_function(function_, pending.get(), napi_tsfn_nonblocking);
    if (sent == napi_ok) {
      pending.release();
    } else if (sent == napi_closing) {
      function_ = nullptr;
    }
  }

  // On the JavaScript thread: whether the process stays alive for a call.
  void hold(Napi::Env env, bool held) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (function_ == nullptr) return;
    if (held) {
      napi_ref_threadsafe_function(env, function_);
    } else {
      napi_unref_threadsafe_function(env, function_);
    }
  }

  void end() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (function_ != nullptr) napi_release_threadsafe_function(function_, napi_tsfn_release);
    function_ = nullptr;
  }

 private:
  static void deliver(napi_env env, napi_value, void*, void* data) {
    std::unique_ptr<Pending> pending(static_cast<Pending*>(data));
    if (env != nullptr) pending->owner->settle(env, *pending);
  }

  std::mutex mutex_;
  napi_threadsafe_function function_ = nullptr;
};

Napi::Function CommObject::define(Napi::Env env) {
  return DefineClass(env, "NativeComm",
                     {InstanceMethod<&CommObject::description>("description"),
                      InstanceMethod<&CommObject::broadcast>("broadcast"),
                      InstanceMethod<&CommObject::close>("close")});
}

Napi::Value CommObject::open(const Napi::CallbackInfo& info, const Napi::FunctionReference& constructor) {
  const auto object = constructor.New({});
  Napi::Value promise;
  const Status status = guarded([&] { return Unwrap(object)->start(info.Env(), info[0], &promise); });
  return status.ok() ? promise : rejected(info.Env(), status);
}

Status CommObject::start(Napi::Env env, Napi::Value value, Napi::Value* promise) {
  Napi::Object object;
  RELIC_TRY(readObject(value, "options", &object));
  std::string backend;
  RELIC_TRY(readString(object.Get("backend"), "backend", &backend));
  comm::CallQueue::Open open;
  if (backend == "nccl") {
    CudaCommOptions options;
    RELIC_TRY(readNcclOptions(object, &options));
    cuda_ = std::make_shared<CudaComm>();
    open = [options, comm = cuda_](std::unique_ptr<comm::Comm>* out) { return openCudaComm(options, comm, out); };
  } else {
    comm::CommOptions options;
    RELIC_TRY(readOptions(object, backend, &options));
    open = [options](std::unique_ptr<comm::Comm>* out) {
      return options.backend == comm::Backend::mpi ? comm::openMpi(options, out) : comm::openGloo(options, out);
    };
  }
  RELIC_TRY(Link::make(env, &link_));
  Value().TypeTag(&kTag);
  napi_add_env_cleanup_hook(env, onTeardown, this);
  Pending* call = begin(env).release();
  call->opening = true;
  *promise = call->deferred.Promise();
  return comm::CallQueue::start(std::move(open), ended(call), &queue_);
}

CommObject::~CommObject() { release(Env()); }

Status CommObject::readQueue(Napi::Value value, const char* name, std::shared_ptr<comm::CallQueue>* out) {
  Napi::Object object;
  RELIC_TRY(readObject(value, name, &object));
  if (!object.CheckTypeTag(&kTag)) return wrongArgument(name, "what openComm gave");
  *out = Unwrap(object)->queue_;
  return Status::success();
}

Status CommObject::readCudaComm(Napi::Value value, const char* name, std::shared_ptr<CudaComm>* out) {
  std::shared_ptr<comm::CallQueue> queue;
  RELIC_TRY(readQueue(value, name, &queue));
  *out = Unwrap(value.As<Napi::Object>())->cuda_;
  if (*out != nullptr && (*out)->handle() != nullptr) return Status::success();
  return wrongArgument(name, "what openComm gave for NCCL, for a model on a GPU");
}

Status CommObject::available() const {
  return queue_ != nullptr ? Status::success() : wrongArgument("this", "what openComm gave");
}

Napi::Value CommObject::description(const Napi::CallbackInfo& info) {
  if (const auto status = available(); !status.ok()) return failed(info.Env(), status);
  return Napi::String::New(info.Env(), queue_->description());
}

// A call whose end keeps this object and the process alive.
std::unique_ptr<CommObject::Pending> CommObject::begin(Napi::Env env) {
  Ref();
  if (pendingCount_++ == 0) link_->hold(env, true);
  return std::unique_ptr<Pending>(new Pending{Napi::Promise::Deferred::New(env), this, {}, {}, false});
}

// For the queue's thread.
comm::CallQueue::Done CommObject::ended(Pending* call) const {
  return [call, link = link_](const Status& status) {
    call->status = status;
    link->send(std::unique_ptr<Pending>(call));
  };
}

Napi::Value CommObject::broadcast(const Napi::CallbackInfo& info) {
  std::vector<uint8_t> bytes;
  const auto read = [&]() -> Status {
    RELIC_TRY(available());
    if (info[0].IsNull()) return Status::success();
    return readBytes(info[0], "bytes", &bytes);
  };
  Status status = guarded(read);
  if (status.ok() && info[0].IsNull() == (queue_->rank() == 0)) {
    status = wrongArgument("bytes", queue_->rank() == 0 ? "bytes, on rank 0" : "null, on any rank but 0");
  }
  if (!status.ok()) return rejected(info.Env(), status);
  Pending* call = begin(info.Env()).release();
  const auto promise = call->deferred.Promise();
  call->bytes = std::move(bytes);
  const auto work = [call](comm::Comm& comm) -> Status {
    uint64_t length = call->bytes->size();
    RELIC_TRY(comm.broadcast(&length, sizeof(length), 0));
    call->bytes->resize(length);
    return length == 0 ? Status::success() : comm.broadcast(call->bytes->data(), length, 0);
  };
  queue_->post(work, ended(call));
  return promise;
}

Napi::Value CommObject::close(const Napi::CallbackInfo& info) {
  if (const auto status = available(); !status.ok()) return rejected(info.Env(), status);
  Pending* call = begin(info.Env()).release();
  const auto promise = call->deferred.Promise();
  queue_->close(ended(call));
  return promise;
}

void CommObject::settle(Napi::Env env, Pending& pending) {
  if (--pendingCount_ == 0) link_->hold(env, false);
  if (!pending.status.ok()) {
    pending.deferred.Reject(toError(env, pending.status).Value());
  } else if (pending.opening) {
    pending.deferred.Resolve(Value());
  } else if (pending.bytes.has_value()) {
    auto bytes = Napi::Uint8Array::New(env, pending.bytes->size());
    std::copy(pending.bytes->begin(), pending.bytes->end(), bytes.Data());
    pending.deferred.Resolve(bytes);
  } else {
    pending.deferred.Resolve(env.Undefined());
  }
  Unref();
}

void CommObject::release(Napi::Env env) {
  if (link_ == nullptr) return;
  napi_remove_env_cleanup_hook(env, onTeardown, this);
  link_->end();
  link_.reset();
  // A call that runs is cancelled; models of this handle may still share the queue.
  queue_.reset();
}

void CommObject::onTeardown(void* self) {
  auto* object = static_cast<CommObject*>(self);
  if (object->queue_ != nullptr) object->queue_->cancel();
  object->release(object->Env());
}

Napi::Value makeNcclId(const Napi::CallbackInfo& info) {
  std::string library;
  std::vector<std::string> paths;
  std::vector<uint8_t> id;
  const auto make = [&]() -> Status {
    RELIC_TRY(readString(info[0], "library", &library));
    RELIC_TRY(readStrings(info[1], "ncclPaths", &paths));
    return ncclId(library, paths, &id);
  };
  if (const auto status = guarded(make); !status.ok()) return failed(info.Env(), status);
  auto bytes = Napi::Uint8Array::New(info.Env(), id.size());
  std::copy(id.begin(), id.end(), bytes.Data());
  return bytes;
}

}  // namespace relic
