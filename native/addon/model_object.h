// A Model (cpu/model.h) as a JavaScript object, with its engine thread. Methods check their arguments and the state of
// the object; arithmetic is elsewhere. Calls must not overlap: a second one while a step runs is refused.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/engine_thread.h"
#include "comm/call_queue.h"
#include "cpu/model.h"

namespace relic {

class ModelObject : public Napi::ObjectWrap<ModelObject> {
 public:
  static Napi::Function define(Napi::Env env);

  // ({program: Float64Array, store, threads, isa, bf16, encoderCacheBytes, comm?, bucketBytes?, cuda?}). store, comm,
  // bucketBytes and cuda as model_options.h has them.
  explicit ModelObject(const Napi::CallbackInfo& info);
  ~ModelObject() override;

 private:
  class ModelJob;
  class TrainJob;
  class TrainStepsJob;
  class EvaluateJob;
  class SynchronizeJob;

  Napi::Value isa(const Napi::CallbackInfo& info);
  Napi::Value stateCount(const Napi::CallbackInfo& info);
  Napi::Value stateLength(const Napi::CallbackInfo& info);
  // (index, Float32Array): the array's length must be the tensor's.
  Napi::Value writeState(const Napi::CallbackInfo& info);
  Napi::Value readState(const Napi::CallbackInfo& info);
  // As readState; false when the tensor is not trained.
  Napi::Value readGradient(const Napi::CallbackInfo& info);
  // (index, first: Float32Array, second: Float32Array): fills both with a parameter's moments and returns how many steps
  // made them, or -1 when it is not trained. SGD has no second moment and leaves that array as it is.
  Napi::Value readMoments(const Napi::CallbackInfo& info);
  // (index, first, second, steps): the reverse; false when the parameter is not trained.
  Napi::Value writeMoments(const Napi::CallbackInfo& info);
  // ({type: 0 | 1, beta2, eps, weightDecay}, backward: Float64Array, keepState: boolean)
  Napi::Value setOptimizer(const Napi::CallbackInfo& info);
  // ([{proteinA: Int32Array, proteinB: Int32Array, labels: Float32Array, key: Uint32Array(2)}, ...],
  //  {step, lr, momentum, stop: boolean, hardExamples: boolean, keepRatio, minKeep})
  // -> Promise of a Float64Array: loss sum, kept pairs and stop (0 or 1) of each shard, or with `comm` of each rank.
  Napi::Value trainStep(const Napi::CallbackInfo& info);
  // ([{shards, settings}, ...]), each as above -> Promise of {losses, stopped}: those of the steps that were taken, and the
  // Error of the one after them, or null.
  Napi::Value trainSteps(const Napi::CallbackInfo& info);
  // ({proteinA, proteinB, labels}) -> Promise of a Float32Array: (2, pairs), logits and losses.
  Napi::Value evaluate(const Napi::CallbackInfo& info);
  // (everything: boolean) -> Promise. Every rank takes over rank 0's buffers, or parameters, buffers and optimizer
  // state.
  Napi::Value synchronize(const Napi::CallbackInfo& info);
  // A Float64Array: seconds for which steps waited in collectives, and seconds in collectives altogether.
  Napi::Value collectiveSeconds(const Napi::CallbackInfo& info);
  // Bytes of live buffers, as of the last finished call.
  Napi::Value memory(const Napi::CallbackInfo& info);
  // Frees everything; a step that runs is cancelled first, and its promise rejected. Idempotent.
  Napi::Value dispose(const Napi::CallbackInfo& info);

  Status create(const Napi::CallbackInfo& info);
  // Whether a call may use the model now.
  Status available() const;
  Status readBatch(Napi::Value value, BatchView* batch) const;
  Status readTensor(const Napi::CallbackInfo& info, int64_t* index, float** values) const;
  Status readMomentArrays(const Napi::CallbackInfo& info, int64_t* index, Moments* moments) const;
  using Prepare = Status (ModelObject::*)(const Napi::CallbackInfo&, std::unique_ptr<ModelJob>*);
  // Starts the job that `prepare` makes of the arguments; returns its promise, or a rejected one.
  Napi::Value submit(const Napi::CallbackInfo& info, Prepare prepare);
  Status readStep(Napi::Value shards, Napi::Value settings, TrainJob* job) const;
  Status prepareTrainSteps(const Napi::CallbackInfo& info, std::unique_ptr<ModelJob>* job);
  Status prepareTrainStep(const Napi::CallbackInfo& info, std::unique_ptr<ModelJob>* job);
  Status prepareEvaluate(const Napi::CallbackInfo& info, std::unique_ptr<ModelJob>* job);
  Status prepareSynchronize(const Napi::CallbackInfo& info, std::unique_ptr<ModelJob>* job);
  void settle(Napi::Env env, ModelJob& job);
  size_t heldBytes() const;
  void setBytes(Napi::Env env, size_t bytes);
  // Joins the engine thread, which ends a running job first, and frees the model.
  void release(Napi::Env env);
  static void onTeardown(void* self);

  std::shared_ptr<Store> store_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<EngineThread> thread_;
  // Null for a model on its own.
  std::shared_ptr<comm::CallQueue> queue_;
  bool inFlight_ = false;
  bool disposed_ = false;
  size_t bytes_ = 0;
};

}  // namespace relic
