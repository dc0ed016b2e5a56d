// The thread on which one model computes, so that JavaScript never waits for a step: one job at a time, whose end is
// reported on the JavaScript thread.
#pragma once

#include <napi.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "relic/status.h"

namespace relic {

class EngineThread {
 public:
  class Job {
   public:
    virtual ~Job() = default;
    // On the engine thread; must not throw.
    virtual void run() noexcept = 0;
    // On the JavaScript thread, after run(). Not called when the environment went down first.
    virtual void finish(Napi::Env env) = 0;
  };

  static Status start(Napi::Env env, std::unique_ptr<EngineThread>* out);
  // On the JavaScript thread. Waits for a running job, whose finish() may still be called.
  ~EngineThread();
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  // On the JavaScript thread, when no job is running. The process stays alive until rest() is called.
  void submit(std::unique_ptr<Job> job);
  // On the JavaScript thread, from finish(): an idle model does not keep the process alive.
  void rest();

 private:
  explicit EngineThread(Napi::Env env) : env_(env) {}
  void loop();
  static void onCompletion(napi_env env, napi_value, void* context, void* data);

  Napi::Env env_;
  napi_threadsafe_function completion_ = nullptr;
  // Set by the engine thread when Node.js has closed `completion_`; read after it was joined.
  bool closed_ = false;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::unique_ptr<Job> next_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace relic
