#include "addon/engine_thread.h"

#include <system_error>

namespace relic {

Status EngineThread::start(Napi::Env env, std::unique_ptr<EngineThread>* out) {
  std::unique_ptr<EngineThread> self(new EngineThread(env));
  const auto name = Napi::String::New(env, "relic-train engine");
  // Not bound to `this`, which may be gone when the last completion is delivered.
  const napi_status created = napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr,
                                                              nullptr, onCompletion, &self->completion_);
  if (created != napi_ok) {
    self->completion_ = nullptr;
    return Status::failure("RELIC_ENGINE_UNAVAILABLE", "Node.js refused a thread-safe function");
  }
  self->rest();
  try {
    self->thread_ = std::thread([thread = self.get()] { thread->loop(); });
  } catch (const std::system_error& error) {
    return Status::failure("RELIC_ENGINE_UNAVAILABLE",
                           std::string("the engine's thread cannot be started: ") + error.what());
  }
  *out = std::move(self);
  return Status::success();
}

EngineThread::~EngineThread() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  if (completion_ != nullptr && !closed_) napi_release_threadsafe_function(completion_, napi_tsfn_release);
}

void EngineThread::submit(std::unique_ptr<Job> job) {
  napi_ref_threadsafe_function(env_, completion_);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    next_ = std::move(job);
  }
  wake_.notify_one();
}

void EngineThread::rest() { napi_unref_threadsafe_function(env_, completion_); }

void EngineThread::loop() {
  for (;;) {
    std::unique_ptr<Job> job;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || next_ != nullptr; });
      if (next_ == nullptr) return;
      job = std::move(next_);
    }
    job->run();
    // The queue has no limit: a refusal means that Node.js is going down, and nobody waits for the result.
    closed_ = napi_call_threadsafe_function(completion_, job.get(), napi_tsfn_nonblocking) != napi_ok;
    if (closed_) return;
    job.release();
  }
}

void EngineThread::onCompletion(napi_env env, napi_value, void*, void* data) {
  std::unique_ptr<Job> job(static_cast<Job*>(data));
  if (env == nullptr) return;
  try {
    job->finish(Napi::Env(env));
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
  }
}

}  // namespace relic
