#include "addon/model_object.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "addon/arguments.h"
#include "addon/comm_object.h"
#include "addon/cuda_client.h"
#include "addon/errors.h"
#include "addon/model_options.h"
#include "addon/own_batch.h"

namespace relic {
namespace {

constexpr double kMaxThreads = 1024;
constexpr int64_t kMaxShards = 65536, kMaxSteps = 65536;

}  // namespace

// One asynchronous call: work on the engine thread, a result made on the JavaScript thread.
class ModelObject::ModelJob : public EngineThread::Job {
 public:
  void run() noexcept override {
    status = guarded([this] { return work(*owner->model_); });
    bytes = owner->heldBytes();
  }
  void finish(Napi::Env env) override { owner->settle(env, *this); }
  virtual Status work(Model& model) = 0;
  virtual Napi::Value result(Napi::Env env) const = 0;

  ModelObject* owner = nullptr;
  std::optional<Napi::Promise::Deferred> deferred;
  Status status;
  size_t bytes = 0;
};

class ModelObject::TrainJob : public ModelJob {
 public:
  void begin(const StepSettings& settings) { steps_.push_back({{}, {}, settings}); }
  // A shard of the step that was begun last.
  void add(const BatchView& batch, const uint32_t* key) {
    steps_.back().batches.emplace_back(batch);
    steps_.back().keys.emplace_back(key[0], key[1]);
  }
  Status work(Model& model) override {
    std::vector<std::vector<ShardView>> shards(steps_.size());
    std::vector<StepView> views;
    size_t total = 0;
    for (size_t i = 0; i < steps_.size(); i++) {
      const Step& step = steps_[i];
      for (size_t k = 0; k < step.batches.size(); k++) {
        shards[i].push_back({step.batches[k].view(), {step.keys[k].first, step.keys[k].second}});
      }
      views.push_back({shards[i].data(), static_cast<int64_t>(shards[i].size()), step.settings});
      total += shards[i].size();
    }
    losses_.resize(std::max(total, views.size() * static_cast<size_t>(model.rankCount())));
    perStep_ = model.rankCount() > 1 ? static_cast<size_t>(model.rankCount()) : 0;
    return model.trainSteps(views.data(), static_cast<int64_t>(views.size()), losses_.data(), &done_);
  }
  // Loss sum and kept pairs of the shards of all steps that were taken.
  Napi::Value result(Napi::Env env) const override {
    size_t taken = 0;
    for (int64_t i = 0; i < done_; i++) {
      taken += perStep_ > 0 ? perStep_ : steps_[static_cast<size_t>(i)].batches.size();
    }
    auto values = Napi::Float64Array::New(env, 3 * taken);
    for (size_t i = 0; i < taken; i++) {
      values[3 * i] = losses_[i].lossSum;
      values[3 * i + 1] = static_cast<double>(losses_[i].kept);
      values[3 * i + 2] = losses_[i].stop ? 1 : 0;
    }
    return values;
  }

 private:
  struct Step {
    std::vector<OwnBatch> batches;
    std::vector<std::pair<uint32_t, uint32_t>> keys;
    StepSettings settings;
  };

  std::vector<Step> steps_;
  std::vector<ShardLoss> losses_;
  int64_t done_ = 0;
  // Losses of a step: one of every rank, or 0 for one of every shard.
  size_t perStep_ = 0;
};

// A loss that is no number is part of the result: the steps before it count.
class ModelObject::TrainStepsJob final : public TrainJob {
 public:
  Status work(Model& model) override {
    Status status = TrainJob::work(model);
    if (status.code != "RELIC_NOT_FINITE") return status;
    stopped_ = std::move(status);
    return Status::success();
  }
  Napi::Value result(Napi::Env env) const override {
    auto result = Napi::Object::New(env);
    result.Set("losses", TrainJob::result(env));
    result.Set("stopped", stopped_.ok() ? env.Null() : toError(env, stopped_).Value());
    return result;
  }

 private:
  Status stopped_;
};

class ModelObject::EvaluateJob final : public ModelJob {
 public:
  explicit EvaluateJob(const BatchView& batch) : batch_(batch), values_(2 * static_cast<size_t>(batch.pairs)) {}

  Status work(Model& model) override {
    const auto batch = batch_.view();
    return model.evaluate(batch, values_.data(), values_.data() + batch.pairs);
  }
  Napi::Value result(Napi::Env env) const override {
    auto values = Napi::Float32Array::New(env, values_.size());
    std::copy(values_.begin(), values_.end(), values.Data());
    return values;
  }

 private:
  OwnBatch batch_;
  std::vector<float> values_;
};

class ModelObject::SynchronizeJob final : public ModelJob {
 public:
  explicit SynchronizeJob(Synchronized what) : what_(what) {}

  Status work(Model& model) override { return model.synchronize(what_); }
  Napi::Value result(Napi::Env env) const override { return env.Undefined(); }

 private:
  const Synchronized what_;
};

Napi::Function ModelObject::define(Napi::Env env) {
  return DefineClass(env, "NativeModel",
                     {InstanceMethod<&ModelObject::isa>("isa"), InstanceMethod<&ModelObject::stateCount>("stateCount"),
                      InstanceMethod<&ModelObject::stateLength>("stateLength"),
                      InstanceMethod<&ModelObject::writeState>("writeState"),
                      InstanceMethod<&ModelObject::readState>("readState"),
                      InstanceMethod<&ModelObject::readGradient>("readGradient"),
                      InstanceMethod<&ModelObject::readMoments>("readMoments"),
                      InstanceMethod<&ModelObject::writeMoments>("writeMoments"),
                      InstanceMethod<&ModelObject::setOptimizer>("setOptimizer"),
                      InstanceMethod<&ModelObject::trainStep>("trainStep"),
                      InstanceMethod<&ModelObject::trainSteps>("trainSteps"),
                      InstanceMethod<&ModelObject::evaluate>("evaluate"),
                      InstanceMethod<&ModelObject::synchronize>("synchronize"),
                      InstanceMethod<&ModelObject::collectiveSeconds>("collectiveSeconds"),
                      InstanceMethod<&ModelObject::memory>("memory"),
                      InstanceMethod<&ModelObject::dispose>("dispose")});
}

ModelObject::ModelObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ModelObject>(info) {
  const auto status = create(info);
  if (!status.ok()) {
    disposed_ = true;
    failed(info.Env(), status);
  }
}

ModelObject::~ModelObject() { release(Env()); }

Status ModelObject::create(const Napi::CallbackInfo& info) {
  Napi::Object options;
  RELIC_TRY(readObject(info[0], "options", &options));
  std::span<double> program;
  RELIC_TRY(readArray(options.Get("program"), "program", kAnyLength, &program));
  CpuOptions cpu;
  RELIC_TRY(readInteger(options.Get("threads"), "threads", 1, kMaxThreads, &cpu.threads));
  std::string isa;
  RELIC_TRY(readString(options.Get("isa"), "isa", &isa));
  cpu.isa = isa.c_str();
  RELIC_TRY(readBoolean(options.Get("bf16"), "bf16", &cpu.bf16));
  RELIC_TRY(readInteger(options.Get("encoderCacheBytes"), "encoderCacheBytes", 0, kMaxInteger, &cpu.encoderCacheBytes));
  const auto store = options.Get("store");
  RELIC_TRY(guarded([&] { return readStore(store, &store_); }));
  Ranks ranks;
  RELIC_TRY(readRanks(options, &ranks));
  if (options.Get("cuda").IsUndefined()) {
    queue_ = ranks.queue;
    RELIC_TRY(guarded([&] { return Model::create(program.data(), program.size(), store_, cpu, &model_, ranks); }));
  } else {
    CudaOptions cuda{};
    RELIC_TRY(readCuda(options.Get("cuda"), &cuda));
    CudaRanks gpus{nullptr, ranks.buckets};
    if (ranks.queue != nullptr) RELIC_TRY(CommObject::readCudaComm(options.Get("comm"), "comm", &gpus.comm));
    RELIC_TRY(guarded([&] { return createCudaModel(cuda, program.data(), program.size(), store_, gpus, &model_); }));
  }
  RELIC_TRY(EngineThread::start(info.Env(), &thread_));
  napi_add_env_cleanup_hook(info.Env(), onTeardown, this);
  setBytes(info.Env(), heldBytes());
  return Status::success();
}

Status ModelObject::available() const {
  if (disposed_) return Status::failure("RELIC_ENGINE_DISPOSED", "this model was disposed");
  if (inFlight_) {
    return Status::failure("RELIC_ENGINE_BUSY", "a call on this model has not finished: await it before the next one");
  }
  return Status::success();
}

Napi::Value ModelObject::isa(const Napi::CallbackInfo& info) {
  if (const auto status = available(); !status.ok()) return failed(info.Env(), status);
  return Napi::String::New(info.Env(), model_->kernels());
}

Napi::Value ModelObject::stateCount(const Napi::CallbackInfo& info) {
  if (const auto status = available(); !status.ok()) return failed(info.Env(), status);
  return Napi::Number::New(info.Env(), static_cast<double>(model_->stateCount()));
}

Napi::Value ModelObject::stateLength(const Napi::CallbackInfo& info) {
  const auto read = [&](int64_t* index) -> Status {
    RELIC_TRY(available());
    return readInteger(info[0], "index", 0, static_cast<double>(model_->stateCount() - 1), index);
  };
  int64_t index = 0;
  if (const auto status = read(&index); !status.ok()) return failed(info.Env(), status);
  return Napi::Number::New(info.Env(), static_cast<double>(model_->stateLength(index)));
}

Status ModelObject::readTensor(const Napi::CallbackInfo& info, int64_t* index, float** values) const {
  RELIC_TRY(available());
  RELIC_TRY(readInteger(info[0], "index", 0, static_cast<double>(model_->stateCount() - 1), index));
  std::span<float> view;
  RELIC_TRY(readArray(info[1], "values", static_cast<size_t>(model_->stateLength(*index)), &view));
  *values = view.data();
  return Status::success();
}

Napi::Value ModelObject::writeState(const Napi::CallbackInfo& info) {
  int64_t index = 0;
  float* values = nullptr;
  if (const auto status = readTensor(info, &index, &values); !status.ok()) return failed(info.Env(), status);
  if (const auto status = model_->writeState(index, values); !status.ok()) return failed(info.Env(), status);
  return info.Env().Undefined();
}

Napi::Value ModelObject::readState(const Napi::CallbackInfo& info) {
  int64_t index = 0;
  float* values = nullptr;
  if (const auto status = readTensor(info, &index, &values); !status.ok()) return failed(info.Env(), status);
  if (const auto status = model_->readState(index, values); !status.ok()) return failed(info.Env(), status);
  return info.Env().Undefined();
}

Napi::Value ModelObject::readGradient(const Napi::CallbackInfo& info) {
  int64_t index = 0;
  float* values = nullptr;
  if (const auto status = readTensor(info, &index, &values); !status.ok()) return failed(info.Env(), status);
  bool trained = false;
  if (const auto status = model_->readGradient(index, values, &trained); !status.ok()) return failed(info.Env(), status);
  return Napi::Boolean::New(info.Env(), trained);
}

Status ModelObject::readMomentArrays(const Napi::CallbackInfo& info, int64_t* index, Moments* moments) const {
  RELIC_TRY(readTensor(info, index, &moments->first));
  std::span<float> second;
  RELIC_TRY(readArray(info[2], "second", static_cast<size_t>(model_->stateLength(*index)), &second));
  moments->second = second.data();
  return Status::success();
}

Napi::Value ModelObject::readMoments(const Napi::CallbackInfo& info) {
  int64_t index = 0, steps = -1;
  Moments moments{nullptr, nullptr, &steps};
  if (const auto status = readMomentArrays(info, &index, &moments); !status.ok()) return failed(info.Env(), status);
  bool trained = false;
  if (const auto status = model_->readMoments(index, moments, &trained); !status.ok()) {
    return failed(info.Env(), status);
  }
  if (!trained) steps = -1;
  return Napi::Number::New(info.Env(), static_cast<double>(steps));
}

Napi::Value ModelObject::writeMoments(const Napi::CallbackInfo& info) {
  int64_t index = 0, steps = 0;
  Moments moments{nullptr, nullptr, &steps};
  const auto read = [&]() -> Status {
    RELIC_TRY(readMomentArrays(info, &index, &moments));
    return readInteger(info[3], "steps", 0, kMaxInteger, &steps);
  };
  if (const auto status = read(); !status.ok()) return failed(info.Env(), status);
  bool trained = false;
  if (const auto status = model_->writeMoments(index, moments, &trained); !status.ok()) {
    return failed(info.Env(), status);
  }
  return Napi::Boolean::New(info.Env(), trained);
}

Napi::Value ModelObject::setOptimizer(const Napi::CallbackInfo& info) {
  const auto call = [&]() -> Status {
    RELIC_TRY(available());
    Napi::Object object;
    RELIC_TRY(readObject(info[0], "settings", &object));
    OptimizerSettings settings{};
    RELIC_TRY(readInteger(object.Get("type"), "settings.type", 0, 1, &settings.type));
    RELIC_TRY(readNumber(object.Get("beta2"), "settings.beta2", &settings.beta2));
    RELIC_TRY(readNumber(object.Get("eps"), "settings.eps", &settings.eps));
    RELIC_TRY(readNumber(object.Get("weightDecay"), "settings.weightDecay", &settings.weightDecay));
    std::span<double> backward;
    RELIC_TRY(readArray(info[1], "backward", kAnyLength, &backward));
    bool keepState = false;
    RELIC_TRY(readBoolean(info[2], "keepState", &keepState));
    return guarded([&] { return model_->setOptimizer(settings, backward.data(), backward.size(), keepState); });
  };
  if (const auto status = call(); !status.ok()) return failed(info.Env(), status);
  setBytes(info.Env(), heldBytes());
  return info.Env().Undefined();
}

Status ModelObject::readBatch(Napi::Value value, BatchView* batch) const {
  Napi::Object object;
  RELIC_TRY(readObject(value, "batch", &object));
  std::span<float> labels;
  RELIC_TRY(readArray(object.Get("labels"), "labels", kAnyLength, &labels));
  std::span<int32_t> a, b;
  RELIC_TRY(readArray(object.Get("proteinA"), "proteinA", labels.size(), &a));
  RELIC_TRY(readArray(object.Get("proteinB"), "proteinB", labels.size(), &b));
  if (labels.empty()) return Status::failure("RELIC_BATCH_INVALID", "batch: expected at least one pair");
  for (const auto& side : {a, b}) {
    for (const int32_t index : side) {
      if (index < 0 || index >= store_->count()) {
        return Status::failure("RELIC_BATCH_INVALID", "batch: expected protein indices below " +
                                                          std::to_string(store_->count()) + ", received " +
                                                          std::to_string(index));
      }
    }
  }
  *batch = {static_cast<int64_t>(labels.size()), a.data(), b.data(), labels.data()};
  return Status::success();
}

Status ModelObject::readStep(Napi::Value shardList, Napi::Value settingsObject, TrainJob* job) const {
  Napi::Object object;
  RELIC_TRY(readObject(settingsObject, "settings", &object));
  StepSettings settings{};
  RELIC_TRY(readInteger(object.Get("step"), "settings.step", 0, UINT32_MAX, &settings.step));
  RELIC_TRY(readNumber(object.Get("lr"), "settings.lr", &settings.lr));
  RELIC_TRY(readNumber(object.Get("momentum"), "settings.momentum", &settings.momentum));
  RELIC_TRY(readBoolean(object.Get("stop"), "settings.stop", &settings.stop));
  RELIC_TRY(readBoolean(object.Get("hardExamples"), "settings.hardExamples", &settings.hardExamples));
  RELIC_TRY(readNumber(object.Get("keepRatio"), "settings.keepRatio", &settings.keepRatio));
  RELIC_TRY(readInteger(object.Get("minKeep"), "settings.minKeep", 0, kMaxInteger, &settings.minKeep));
  if (!shardList.IsArray()) return wrongArgument("shards", "an array");
  const auto shards = shardList.As<Napi::Array>();
  if (shards.Length() < 1 || shards.Length() > kMaxShards) return wrongArgument("shards", "1 to 65536 of them");
  job->begin(settings);
  for (uint32_t i = 0; i < shards.Length(); i++) {
    const Napi::Value shard = shards.Get(i);
    BatchView batch{};
    RELIC_TRY(readBatch(shard, &batch));
    std::span<uint32_t> key;
    RELIC_TRY(readArray(shard.As<Napi::Object>().Get("key"), "key", 2, &key));
    job->add(batch, key.data());
  }
  return Status::success();
}

Status ModelObject::prepareTrainStep(const Napi::CallbackInfo& info, std::unique_ptr<ModelJob>* out) {
  auto job = std::make_unique<TrainJob>();
  RELIC_TRY(readStep(info[0], info[1], job.get()));
  *out = std::move(job);
  return Status::success();
}

Status ModelObject::prepareTrainSteps(const Napi::CallbackInfo& info, std::unique_ptr<ModelJob>* out) {
  auto job = std::make_unique<TrainStepsJob>();
  if (!info[0].IsArray()) return wrongArgument("steps", "an array");
  const auto steps = info[0].As<Napi::Array>();
  if (steps.Length() < 1 || steps.Length() > kMaxSteps) return wrongArgument("steps", "1 to 65536 of them");
  for (uint32_t i = 0; i < steps.Length(); i++) {
    Napi::Object step;
    RELIC_TRY(readObject(steps.Get(i), "step", &step));
    RELIC_TRY(readStep(step.Get("shards"), step.Get("settings"), job.get()));
  }
  *out = std::move(job);
  return Status::success();
}

Status ModelObject::prepareEvaluate(const Napi::CallbackInfo& info, std::unique_ptr<ModelJob>* out) {
  BatchView batch{};
  RELIC_TRY(readBatch(info[0], &batch));
  *out = std::make_unique<EvaluateJob>(batch);
  return Status::success();
}

Status ModelObject::prepareSynchronize(const Napi::CallbackInfo& info, std::unique_ptr<ModelJob>* out) {
  bool everything = false;
  RELIC_TRY(readBoolean(info[0], "everything", &everything));
  *out = std::make_unique<SynchronizeJob>(everything ? Synchronized::everything : Synchronized::buffers);
  return Status::success();
}

Napi::Value ModelObject::submit(const Napi::CallbackInfo& info, Prepare prepare) {
  std::unique_ptr<ModelJob> job;
  const auto status = guarded([&]() -> Status {
    RELIC_TRY(available());
    return (this->*prepare)(info, &job);
  });
  if (!status.ok()) return rejected(info.Env(), status);
  job->owner = this;
  job->deferred = Napi::Promise::Deferred::New(info.Env());
  const auto promise = job->deferred->Promise();
  // Garbage collection must not take the object while its thread works on it.
  Ref();
  inFlight_ = true;
  thread_->submit(std::move(job));
  return promise;
}

Napi::Value ModelObject::trainStep(const Napi::CallbackInfo& info) {
  return submit(info, &ModelObject::prepareTrainStep);
}

Napi::Value ModelObject::trainSteps(const Napi::CallbackInfo& info) {
  return submit(info, &ModelObject::prepareTrainSteps);
}

Napi::Value ModelObject::evaluate(const Napi::CallbackInfo& info) { return submit(info, &ModelObject::prepareEvaluate); }

Napi::Value ModelObject::synchronize(const Napi::CallbackInfo& info) {
  return submit(info, &ModelObject::prepareSynchronize);
}

Napi::Value ModelObject::collectiveSeconds(const Napi::CallbackInfo& info) {
  const auto seconds = model_ == nullptr ? CollectiveSeconds{} : model_->collectiveSeconds();
  auto pair = Napi::Float64Array::New(info.Env(), 2);
  pair[0] = seconds.waited;
  pair[1] = seconds.total;
  return pair;
}

void ModelObject::settle(Napi::Env env, ModelJob& job) {
  inFlight_ = false;
  thread_->rest();
  setBytes(env, job.bytes);
  Status status = job.status;
  if (disposed_) {
    release(env);
    status = available();
  }
  if (status.ok()) {
    job.deferred->Resolve(job.result(env));
  } else {
    job.deferred->Reject(toError(env, status).Value());
  }
  Unref();
}

Napi::Value ModelObject::memory(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(bytes_));
}

Napi::Value ModelObject::dispose(const Napi::CallbackInfo& info) {
  disposed_ = true;
  if (inFlight_) model_->cancel();
  if (!inFlight_) release(info.Env());
  return info.Env().Undefined();
}

size_t ModelObject::heldBytes() const { return model_->memory() + store_->bytes(); }

void ModelObject::setBytes(Napi::Env env, size_t bytes) {
  const auto change = static_cast<int64_t>(bytes) - static_cast<int64_t>(bytes_);
  if (change != 0) Napi::MemoryManagement::AdjustExternalMemory(env, change);
  bytes_ = bytes;
}

void ModelObject::release(Napi::Env env) {
  if (thread_ == nullptr) return;
  napi_remove_env_cleanup_hook(env, onTeardown, this);
  thread_.reset();
  model_.reset();
  store_.reset();
  queue_.reset();
  setBytes(env, 0);
}

void ModelObject::onTeardown(void* self) {
  auto* object = static_cast<ModelObject*>(self);
  object->disposed_ = true;
  // The process, or the worker, shall not wait for the end of a step, nor for ranks that are gone.
  object->model_->cancel();
  if (object->queue_ != nullptr) object->queue_->cancel();
  object->release(object->Env());
}

}  // namespace relic
