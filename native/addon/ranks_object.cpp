#include "addon/ranks_object.h"

#include <unistd.h>

#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "addon/arguments.h"
#include "addon/errors.h"
#include "addon/key_value_handle.h"
#include "comm/process_end.h"
#include "comm/progress.h"

namespace relic {
namespace {

constexpr double kMaxRanks = 65536;
constexpr double kMaxPort = 65535;
constexpr double kMaxMs = 1e12;
constexpr size_t kMostWords = 256;

// The store that this process hosts and rank 0 has not taken yet. Never destroyed: threads may outlive main().
struct Hosted {
  std::mutex mutex;
  std::unique_ptr<comm::StoreServer> server;
};
Hosted& hosted() {
  static auto* instance = new Hosted();
  return *instance;
}

void closeHosted(void* server) {
  std::lock_guard<std::mutex> lock(hosted().mutex);
  if (hosted().server.get() == server) hosted().server.reset();
}

// The same text as one that lives for ever, as Progress wants it; there are few of them.
const char* lasting(const std::string& text) {
  static auto* mutex = new std::mutex();
  static auto* words = new std::set<std::string>();
  std::lock_guard<std::mutex> lock(*mutex);
  const auto found = words->find(text);
  if (found != words->end()) return found->c_str();
  return words->size() < kMostWords ? words->insert(text).first->c_str() : "other work";
}

Status readBytes(Napi::Value value, comm::Bytes* out) {
  std::span<uint8_t> view;
  RELIC_TRY(readArray(value, "bytes", kAnyLength, &view));
  out->assign(view.begin(), view.end());
  return Status::success();
}

Status readNameAndBytes(const Napi::CallbackInfo& info, std::string* name, comm::Bytes* bytes) {
  RELIC_TRY(readString(info[0], "name", name));
  return readBytes(info[1], bytes);
}

Status readNameAndTimeout(const Napi::CallbackInfo& info, std::string* name, int64_t* timeoutMs) {
  RELIC_TRY(readString(info[0], "name", name));
  return readInteger(info[1], "timeoutMs", 0, kMaxMs, timeoutMs);
}

Napi::Value toArray(Napi::Env env, const comm::Bytes& bytes) {
  auto array = Napi::Uint8Array::New(env, bytes.size());
  std::copy(bytes.begin(), bytes.end(), array.Data());
  return array;
}

Napi::Value nothing(Napi::Env env) { return env.Undefined(); }

}  // namespace

class RanksObject::CallJob final : public EngineThread::Job {
 public:
  void run() noexcept override {
    status = guarded([this] { return owner->store_->run(work); });
  }
  void finish(Napi::Env env) override { owner->settle(env, *this); }

  RanksObject* owner = nullptr;
  Work work;
  Result result;
  // A goodbye.
  bool isLast = false;
  std::optional<Napi::Promise::Deferred> deferred;
  Status status;
};

Napi::Function RanksObject::define(Napi::Env env) {
  return DefineClass(
      env, "NativeRanks",
      {InstanceMethod<&RanksObject::rank>("rank"), InstanceMethod<&RanksObject::size>("size"),
       InstanceMethod<&RanksObject::allGather>("allGather"), InstanceMethod<&RanksObject::broadcast>("broadcast"),
       InstanceMethod<&RanksObject::barrier>("barrier"), InstanceMethod<&RanksObject::set>("set"),
       InstanceMethod<&RanksObject::get>("get"), InstanceMethod<&RanksObject::add>("add"),
       InstanceMethod<&RanksObject::progress>("progress"), InstanceMethod<&RanksObject::setFailDirectory>("setFailDirectory"),
       InstanceMethod<&RanksObject::keyValue>("keyValue"), InstanceMethod<&RanksObject::fail>("fail"),
       InstanceMethod<&RanksObject::leave>("leave")});
}

Napi::Value RanksObject::join(const Napi::CallbackInfo& info, const Napi::FunctionReference& ranksClass) {
  const auto env = info.Env();
  try {
    const auto object = ranksClass.New({info[0]});
    auto* self = Unwrap(object);
    // Kept until it has left: nobody else need hold it while it watches.
    self->Ref();
    return self->submit(
        env, [self](comm::StoreClient& client) { return self->joinAndWatch(client); },
        [self](Napi::Env) -> Napi::Value { return self->Value(); });
  } catch (const Napi::Error& error) {
    const auto deferred = Napi::Promise::Deferred::New(env);
    deferred.Reject(error.Value());
    return deferred.Promise();
  }
}

RanksObject::RanksObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<RanksObject>(info) {
  if (const auto status = guarded([&] { return create(info); }); !status.ok()) {
    isEnded_ = true;
    failed(info.Env(), status);
  }
}

RanksObject::~RanksObject() { release(Env()); }

Status RanksObject::create(const Napi::CallbackInfo& info) {
  Napi::Object options;
  RELIC_TRY(readObject(info[0], "options", &options));
  RELIC_TRY(readOptions(options));
  if (options_.hello.rank == 0) {
    std::lock_guard<std::mutex> lock(hosted().mutex);
    if (hosted().server == nullptr) {
      return Status::failure("RELIC_ENGINE_CALL", "rank 0 joins the store that it hosts: call hostStore first");
    }
    napi_remove_env_cleanup_hook(info.Env(), closeHosted, hosted().server.get());
    server_ = std::move(hosted().server);
    options_.hello.token = server_->token();
  }
  store_ = std::make_shared<SharedStore>();
  RELIC_TRY(EngineThread::start(info.Env(), &thread_));
  napi_add_env_cleanup_hook(info.Env(), onTeardown, this);
  return Status::success();
}

Status RanksObject::readOptions(const Napi::Object& options) {
  auto& hello = options_.hello;
  RELIC_TRY(readString(options.Get("host"), "host", &options_.host));
  RELIC_TRY(readInteger(options.Get("port"), "port", 1, kMaxPort, &options_.port));
  RELIC_TRY(readInteger(options.Get("size"), "size", 1, kMaxRanks, &hello.size));
  RELIC_TRY(readInteger(options.Get("rank"), "rank", 0, kMaxRanks - 1, &hello.rank));
  RELIC_TRY(readString(options.Get("runId"), "runId", &hello.runId));
  RELIC_TRY(readString(options.Get("identity"), "identity", &hello.identity));
  RELIC_TRY(readString(options.Get("version"), "version", &hello.version));
  RELIC_TRY(readString(options.Get("hostName"), "hostName", &hello.host));
  RELIC_TRY(readInteger(options.Get("timeoutMs"), "timeoutMs", 1, kMaxMs, &hello.timeoutMs));
  RELIC_TRY(readInteger(options.Get("heartbeatTimeoutMs"), "heartbeatTimeoutMs", 1000, kMaxMs,
                        &hello.heartbeatTimeoutMs));
  RELIC_TRY(readInteger(options.Get("collectiveTimeoutMs"), "collectiveTimeoutMs", 1, kMaxMs,
                        &hello.collectiveTimeoutMs));
  RELIC_TRY(readBoolean(options.Get("watchParent"), "watchParent", &watchParent_));
  hello.abi = comm::abi();
  hello.pid = getpid();
  return Status::success();
}

Status RanksObject::joinAndWatch(comm::StoreClient& client) {
  RELIC_TRY(client.join(options_));
  const auto& hello = options_.hello;
  const auto& zero = client.rankZero();
  const auto end = [rank = hello.rank, directory = failDirectory_](const comm::Verdict& verdict, int code) {
    comm::endProcess(verdict, rank, directory->get(), code);
  };
  return comm::Watchdog::start({hello.rank, hello.host, hello.pid, zero.host, zero.pid, zero.heartbeatTimeoutMs,
                                watchParent_, &comm::progress(), end},
                               client.takeWatch(), &watchdog_);
}

Status RanksObject::available() const {
  if (isEnded_) return Status::failure("RELIC_RANKS", "this rank has left the run");
  return Status::success();
}

Napi::Value RanksObject::submit(Napi::Env env, Work work, Result result, bool isLast) {
  if (const auto status = available(); !status.ok()) return rejected(env, status);
  auto job = std::make_unique<CallJob>();
  job->owner = this;
  job->work = std::move(work);
  job->result = std::move(result);
  job->isLast = isLast;
  job->deferred = Napi::Promise::Deferred::New(env);
  const auto promise = job->deferred->Promise();
  if (inFlight_) {
    waiting_.push_back(std::move(job));
  } else {
    inFlight_ = true;
    thread_->submit(std::move(job));
  }
  return promise;
}

void RanksObject::settle(Napi::Env env, CallJob& job) {
  inFlight_ = false;
  thread_->rest();
  // Without a watchdog it has not joined. A goodbye that failed leaves the last word to the watchdog.
  const bool ends = (job.isLast && job.status.ok()) || watchdog_ == nullptr;
  if (job.status.ok()) {
    job.deferred->Resolve(job.result(env));
  } else {
    job.deferred->Reject(toError(env, job.status).Value());
  }
  if (ends) {
    release(env);
    for (const auto& late : waiting_) late->deferred->Reject(toError(env, available()).Value());
    waiting_.clear();
    Unref();
  } else if (!waiting_.empty()) {
    inFlight_ = true;
    thread_->submit(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

void RanksObject::release(Napi::Env env) {
  isEnded_ = true;
  if (thread_ == nullptr) return;
  napi_remove_env_cleanup_hook(env, onTeardown, this);
  store_->interrupt();
  thread_.reset();
  watchdog_.reset();
  store_.reset();
  server_.reset();
}

void RanksObject::onTeardown(void* self) {
  auto* object = static_cast<RanksObject*>(self);
  object->release(object->Env());
}

Napi::Value RanksObject::rank(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), options_.hello.rank);
}

Napi::Value RanksObject::size(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), options_.hello.size);
}

Napi::Value RanksObject::allGather(const Napi::CallbackInfo& info) {
  std::string name;
  auto own = std::make_shared<comm::Bytes>();
  const auto status = guarded([&] { return readNameAndBytes(info, &name, own.get()); });
  if (!status.ok()) return rejected(info.Env(), status);
  auto all = std::make_shared<std::vector<comm::Bytes>>();
  return submit(
      info.Env(), [=](comm::StoreClient& client) { return client.allGather(name, *own, all.get()); },
      [=](Napi::Env env) -> Napi::Value {
        auto list = Napi::Array::New(env, all->size());
        for (uint32_t i = 0; i < all->size(); i++) list.Set(i, toArray(env, (*all)[i]));
        return list;
      });
}

Napi::Value RanksObject::broadcast(const Napi::CallbackInfo& info) {
  std::string name;
  auto value = std::make_shared<comm::Bytes>();
  const auto read = [&]() -> Status {
    RELIC_TRY(readString(info[0], "name", &name));
    return options_.hello.rank == 0 ? readBytes(info[1], value.get()) : Status::success();
  };
  if (const auto status = guarded(read); !status.ok()) return rejected(info.Env(), status);
  return submit(
      info.Env(), [=](comm::StoreClient& client) { return client.broadcast(name, value.get()); },
      [=](Napi::Env env) { return toArray(env, *value); });
}

Napi::Value RanksObject::barrier(const Napi::CallbackInfo& info) {
  std::string name;
  int64_t timeoutMs = 0;
  const auto status = guarded([&] { return readNameAndTimeout(info, &name, &timeoutMs); });
  if (!status.ok()) return rejected(info.Env(), status);
  return submit(info.Env(), [=](comm::StoreClient& client) { return client.barrier(name, timeoutMs); }, nothing);
}

Napi::Value RanksObject::set(const Napi::CallbackInfo& info) {
  std::string key;
  auto value = std::make_shared<comm::Bytes>();
  const auto status = guarded([&] { return readNameAndBytes(info, &key, value.get()); });
  if (!status.ok()) return rejected(info.Env(), status);
  return submit(info.Env(), [=](comm::StoreClient& client) { return client.set(key, *value); }, nothing);
}

Napi::Value RanksObject::get(const Napi::CallbackInfo& info) {
  std::string key;
  int64_t timeoutMs = 0;
  const auto status = guarded([&] { return readNameAndTimeout(info, &key, &timeoutMs); });
  if (!status.ok()) return rejected(info.Env(), status);
  auto value = std::make_shared<comm::Bytes>();
  return submit(
      info.Env(), [=](comm::StoreClient& client) { return client.get(key, timeoutMs, value.get()); },
      [=](Napi::Env env) { return toArray(env, *value); });
}

Napi::Value RanksObject::add(const Napi::CallbackInfo& info) {
  std::string key;
  int64_t increment = 0;
  const auto read = [&]() -> Status {
    RELIC_TRY(readString(info[0], "key", &key));
    return readInteger(info[1], "increment", -kMaxInteger, kMaxInteger, &increment);
  };
  if (const auto status = guarded(read); !status.ok()) return rejected(info.Env(), status);
  auto sum = std::make_shared<int64_t>(0);
  return submit(
      info.Env(), [=](comm::StoreClient& client) { return client.add(key, increment, sum.get()); },
      [=](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, static_cast<double>(*sum)); });
}

Napi::Value RanksObject::progress(const Napi::CallbackInfo& info) {
  const auto call = [&]() -> Status {
    int64_t step = 0;
    std::string what;
    RELIC_TRY(readInteger(info[0], "step", 0, kMaxInteger, &step));
    RELIC_TRY(readString(info[1], "what", &what));
    comm::progress().step = step;
    comm::progress().what = lasting(what);
    return Status::success();
  };
  if (const auto status = guarded(call); !status.ok()) return failed(info.Env(), status);
  return info.Env().Undefined();
}

Napi::Value RanksObject::setFailDirectory(const Napi::CallbackInfo& info) {
  std::string path;
  const auto status = guarded([&] { return readString(info[0], "path", &path); });
  if (!status.ok()) return failed(info.Env(), status);
  failDirectory_->set(std::move(path));
  return info.Env().Undefined();
}

Napi::Value RanksObject::keyValue(const Napi::CallbackInfo& info) {
  if (const auto status = available(); !status.ok()) return failed(info.Env(), status);
  return keyValueHandle(info.Env(), store_);
}

Napi::Value RanksObject::fail(const Napi::CallbackInfo& info) {
  const auto call = [&]() -> Status {
    std::string code, message;
    RELIC_TRY(readString(info[0], "code", &code));
    RELIC_TRY(readString(info[1], "message", &message));
    if (watchdog_ != nullptr) watchdog_->fail(code, message);
    return Status::success();
  };
  if (const auto status = guarded(call); !status.ok()) return failed(info.Env(), status);
  return info.Env().Undefined();
}

Napi::Value RanksObject::leave(const Napi::CallbackInfo& info) {
  return submit(info.Env(), [](comm::StoreClient& client) { return client.leave(); }, nothing, true);
}

Napi::Value hostStore(const Napi::CallbackInfo& info) {
  bool busy = false;
  int port = 0;
  const auto call = [&]() -> Status {
    Napi::Object options;
    std::string address;
    RELIC_TRY(readObject(info[0], "options", &options));
    RELIC_TRY(readString(options.Get("address"), "address", &address));
    RELIC_TRY(readInteger(options.Get("port"), "port", 0, kMaxPort, &port));
    std::lock_guard<std::mutex> lock(hosted().mutex);
    if (hosted().server != nullptr) return Status::failure("RELIC_ENGINE_CALL", "this process hosts a store already");
    RELIC_TRY(comm::StoreServer::host(address, port, &hosted().server, &busy));
    port = hosted().server->port();
    napi_add_env_cleanup_hook(info.Env(), closeHosted, hosted().server.get());
    return Status::success();
  };
  const auto status = guarded(call);
  if (status.ok()) return Napi::Number::New(info.Env(), port);
  auto error = toError(info.Env(), status);
  if (busy) error.Set("busy", Napi::Boolean::New(info.Env(), true));
  error.ThrowAsJavaScriptException();
  return info.Env().Undefined();
}

}  // namespace relic
