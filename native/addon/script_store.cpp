#include "addon/script_store.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <utility>

#include "addon/arguments.h"

namespace relic {
namespace {

// A store that gives up by itself says more than this side can.
constexpr auto kGrace = std::chrono::seconds(5);
constexpr auto kSetWithin = std::chrono::seconds(60);

Status failure(const std::string& what) {
  return Status::failure("RELIC_RANKS", "the store that ranks share: " + what);
}

// One call, of which both threads know.
struct Call {
  bool isSet = false;
  std::string key;
  std::vector<uint8_t> bytes;
  int64_t timeoutMs = 0;

  std::mutex mutex;
  std::condition_variable changed;
  bool over = false;
  Status status;

  void end(Status with) {
    const std::lock_guard<std::mutex> lock(mutex);
    over = true;
    status = std::move(with);
    changed.notify_all();
  }
};

std::string messageOf(Napi::Value error) {
  if (!error.IsObject()) return error.ToString().Utf8Value();
  return error.As<Napi::Object>().Get("message").ToString().Utf8Value();
}

// On the JavaScript thread: makes the call, whose promise will end it.
void make(Napi::Env env, const Napi::Object& store, const std::shared_ptr<Call>& call) {
  Napi::Value argument = Napi::Number::New(env, static_cast<double>(call->timeoutMs));
  if (call->isSet) {
    auto bytes = Napi::Uint8Array::New(env, call->bytes.size());
    std::copy(call->bytes.begin(), call->bytes.end(), bytes.Data());
    argument = bytes;
  }
  const auto method = store.Get(call->isSet ? "set" : "get").As<Napi::Function>();
  const auto promise = method.Call(store, {Napi::String::New(env, call->key), argument});
  if (!promise.IsPromise()) return call->end(failure("expected a promise of " + call->key));
  const auto fulfilled = Napi::Function::New(env, [call](const Napi::CallbackInfo& info) {
    if (call->isSet) return call->end(Status::success());
    const bool isBytes = info[0].IsTypedArray() && info[0].As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
    if (!isBytes) return call->end(failure("expected a Uint8Array of " + call->key));
    const auto bytes = info[0].As<Napi::Uint8Array>();
    call->bytes.assign(bytes.Data(), bytes.Data() + bytes.ByteLength());
    call->end(Status::success());
  });
  const auto rejected =
      Napi::Function::New(env, [call](const Napi::CallbackInfo& info) { call->end(failure(messageOf(info[0]))); });
  const auto object = promise.As<Napi::Object>();
  object.Get("then").As<Napi::Function>().Call(object, {fulfilled, rejected});
}

class ScriptStore : public comm::KeyValue {
 public:
  static Status wrap(Napi::Object store, std::shared_ptr<comm::KeyValue>* out) {
    const Napi::Env env = store.Env();
    const auto self = std::make_shared<ScriptStore>();
    const auto& link = self->link_;
    // Made and released on the JavaScript thread, as references have to be.
    auto ends = std::make_unique<Ends>(Ends{Napi::Persistent(store), link});
    const napi_status made = napi_create_threadsafe_function(
        env, nullptr, nullptr, Napi::String::New(env, "relic-train store"), 0, 1, ends.get(), close, ends.get(),
        deliver, &link->function);
    if (made != napi_ok) return Status::failure("RELIC_ENGINE_UNAVAILABLE", "Node.js refused a thread-safe function");
    ends.release();
    napi_unref_threadsafe_function(env, link->function);
    *out = self;
    return Status::success();
  }

  ~ScriptStore() override {
    const std::lock_guard<std::mutex> lock(link_->mutex);
    if (link_->function != nullptr) napi_release_threadsafe_function(link_->function, napi_tsfn_release);
    link_->function = nullptr;
  }

  Status set(const std::string& key, const std::vector<uint8_t>& bytes) override {
    const auto call = std::make_shared<Call>();
    call->isSet = true;
    call->key = key;
    call->bytes = bytes;
    return await(call, kSetWithin);
  }

  Status get(const std::string& key, int64_t timeoutMs, std::vector<uint8_t>* bytes) override {
    const auto call = std::make_shared<Call>();
    call->key = key;
    call->timeoutMs = timeoutMs;
    Status status = await(call, std::chrono::milliseconds(timeoutMs) + kGrace);
    if (status.ok()) *bytes = std::move(call->bytes);
    return status;
  }

 private:
  // Between this object, whose last owner may be any thread, and the function, which Node.js frees when it ends.
  struct Link {
    std::mutex mutex;
    // Null once Node.js has closed it.
    napi_threadsafe_function function = nullptr;
  };
  // What the function keeps.
  struct Ends {
    Napi::ObjectReference store;
    std::shared_ptr<Link> link;
  };

  // On the JavaScript thread, before the function is freed.
  static void close(napi_env, void* data, void*) {
    const std::unique_ptr<Ends> ends(static_cast<Ends*>(data));
    const std::lock_guard<std::mutex> lock(ends->link->mutex);
    ends->link->function = nullptr;
  }

  Status await(const std::shared_ptr<Call>& call, std::chrono::milliseconds within) {
    auto data = std::make_unique<std::shared_ptr<Call>>(call);
    {
      const std::lock_guard<std::mutex> lock(link_->mutex);
      if (link_->function == nullptr) return failure("the process ends");
      if (napi_call_threadsafe_function(link_->function, data.get(), napi_tsfn_nonblocking) != napi_ok) {
        link_->function = nullptr;
        return failure("the process ends");
      }
      data.release();
    }
    std::unique_lock<std::mutex> lock(call->mutex);
    if (call->changed.wait_for(lock, within, [&] { return call->over; })) return call->status;
    return failure("no answer about " + call->key + " within " + std::to_string(within.count()) + " ms");
  }

  static void deliver(napi_env env, napi_value, void* context, void* data) {
    const std::unique_ptr<std::shared_ptr<Call>> call(static_cast<std::shared_ptr<Call>*>(data));
    if (env == nullptr) return (*call)->end(failure("the process ends"));
    try {
      make(env, static_cast<Ends*>(context)->store.Value(), *call);
    } catch (const std::exception& error) {
      (*call)->end(failure(error.what()));
    }
  }

  const std::shared_ptr<Link> link_ = std::make_shared<Link>();
};

}  // namespace

Status readScriptStore(Napi::Value value, const char* name, std::shared_ptr<comm::KeyValue>* out) {
  Napi::Object object;
  RELIC_TRY(readObject(value, name, &object));
  for (const char* method : {"set", "get"}) {
    if (!object.Get(method).IsFunction()) return wrongArgument(name, "an object with the methods set and get");
  }
  return ScriptStore::wrap(object, out);
}

}  // namespace relic
