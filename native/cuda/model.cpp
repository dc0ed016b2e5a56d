// Creating a model, its state and its optimiser. Steps and scoring are in steps.cu.
#include "cuda/model.h"

#include <algorithm>
#include <utility>

#include "cuda/checked.h"
#include "cuda/formats.h"
#include "cuda/ops.h"

namespace relic::cuda {
namespace {

// Where float16 training starts, as PyTorch's GradScaler does.
constexpr float kFirstScale = 65536.0f;
// Encoded proteins may take this share of the device.
constexpr size_t kEncodedShare = 4;
// What is free is kept for activations to this share before embeddings may stay on the device.
constexpr size_t kActivationShare = 4;

const char* nameOf(Format format) {
  if (format == Format::float32) return "float32";
  return format == Format::bfloat16 ? "bf16" : "fp16";
}

Status checkOps(const Program& program) {
  for (const Op& op : program.training) {
    if (op.kind != OpKind::attention) continue;
    const int64_t width = op.attention.width / op.attention.heads;
    if (width <= kMaxHeadWidth) continue;
    return Status::failure("RELIC_ENGINE_UNAVAILABLE",
                           "attention on the GPU: expected heads at most " + std::to_string(kMaxHeadWidth) +
                               " wide, received " + std::to_string(width) +
                               "\n  fix: a larger model_config.n_heads, or device_config.device: cpu");
  }
  return Status::success();
}

}  // namespace

Status GpuModel::create(const RelicCudaModelOptions& options, std::unique_ptr<GpuModel>* out) {
  Program program;
  RELIC_TRY(decodeProgram(options.program, options.program_words, &program));
  if (options.store.dim != program.inputDim) {
    return Status::failure("RELIC_EMBEDDING_INVALID", "the embedding store: expected rows of " +
                                                          std::to_string(program.inputDim) + " values, received " +
                                                          std::to_string(options.store.dim));
  }
  for (const int32_t precision : {options.precision, options.scoring_precision}) {
    if (precision >= 0 && precision <= 2) continue;
    return Status::failure("RELIC_ENGINE_CALL", "precision: expected 0, 1 or 2, received " + std::to_string(precision));
  }
  if (options.scoring_precision != RELIC_CUDA_FLOAT32 && options.scoring_precision != options.precision) {
    return Status::failure("RELIC_ENGINE_CALL", "scoring_precision: expected that of training, or float32");
  }
  RELIC_TRY(checkOps(program));
  RELIC_CUDA_TRY(cudaSetDevice(options.device));
  size_t free = 0, total = 0;
  RELIC_CUDA_TRY(cudaMemGetInfo(&free, &total));
  const Precision precision{static_cast<Format>(options.precision), static_cast<Format>(options.scoring_precision)};
  Program scoring = program;
  std::vector<Format> formats = assignFormats(&program, precision.training);
  std::vector<Format> scoringFormats = assignFormats(&scoring, precision.scoring);
  out->reset(new GpuModel(std::move(program), std::move(formats), std::move(scoring), std::move(scoringFormats),
                          precision, options.store.count, total / kEncodedShare));
  return (*out)->open(options);
}

GpuModel::GpuModel(Program training, std::vector<Format> formats, Program scoring, std::vector<Format> scoringFormats,
                   Precision precision, int64_t proteins, size_t encodedLimit)
    : trainingProgram_(std::move(training)),
      scoringProgram_(std::move(scoring)),
      compute_(precision.training),
      encoded_(proteins, encodedLimit, precision.scoring),
      formats_(std::move(formats)),
      scoringFormats_(std::move(scoringFormats)) {}

GpuModel::~GpuModel() {
  context_.enter();
  // The context waits for its work.
  if (exchange_ != nullptr) exchange_->giveUp();
}

Status GpuModel::open(const RelicCudaModelOptions& options) {
  RELIC_TRY(context_.open(options.device));
  bool resident = true;
  RELIC_TRY(checkMemory(options, &resident));
  if (options.cublas_path_count == 0) {
    gemm_ = makeSimpleGemm();
  } else {
    const std::vector<std::string> paths(options.cublas_paths, options.cublas_paths + options.cublas_path_count);
    RELIC_TRY(openCublasLt(paths, &gemm_));
  }
  description_ += "; " + gemm_->describe();
  if (options.comm != nullptr) {
    if (options.comm->comm->device() != options.device) {
      return Status::failure("RELIC_ENGINE_CALL", "comm: expected one on the model's device");
    }
    const comm::BucketSizes sizes{options.first_bucket_bytes, options.bucket_bytes};
    exchange_ = std::make_unique<RankExchange>(options.comm->comm, sizes);
    RELIC_TRY(exchange_->open(context_));
    description_ += "; " + options.comm->comm->description();
  }
  RELIC_TRY(states_.create(context_, trainingProgram_, compute_));
  RELIC_TRY(resident ? store_.load(context_, options.store, compute_) : store_.stream(options.store, compute_));

  const StepOutcome first{compute_ == Format::float16 ? kFirstScale : 1.0f, 0, 0, 0, 0, 0};
  RELIC_TRY(outcome_.fit(sizeof first, "the outcome of a step"));
  RELIC_CUDA_TRY(cudaMemcpyAsync(outcome_.as<void>(), &first, sizeof first, cudaMemcpyHostToDevice, context_.stream()));
  RELIC_TRY(context_.synchronize());

  training_ = std::make_unique<Runtime>(trainingProgram_, formats_, compute_, context_, *gemm_, states_, arena_);
  training_->outcome = outcome_.as<StepOutcome>();
  // Products in 16 bits read the copy of the parameters that training has.
  scoring_ = std::make_unique<Runtime>(scoringProgram_, scoringFormats_, encoded_.format(), context_, *gemm_, states_,
                                       arena_);
  const Program& program = scoringProgram_;
  const bool prefix = program.prefixOps > 0;
  if (prefix) encodingPlan_ = planScoring(program, 0, program.prefixOps, -1, {program.prefixOutput});
  scoringPlan_ = planScoring(program, program.prefixOps, static_cast<int32_t>(program.scoring.size()),
                             prefix ? program.prefixOutput : -1, {program.scoringLogits, program.lossPerPair});
  return Status::success();
}

Status GpuModel::checkMemory(const RelicCudaModelOptions& options, bool* resident) {
  size_t parameters = 0;
  for (const StateSpec& state : trainingProgram_.states) parameters += static_cast<size_t>(state.elements);
  const size_t store = EmbeddingRows::bytesFor(options.store, compute_);
  const size_t states = parameters * (sizeof(float) + (compute_ == Format::float32 ? 0 : bytesOf(compute_)));
  // Gradients and two moments; activations come with the batches.
  const size_t optimizer = parameters * 3 * sizeof(float);
  size_t free = 0, total = 0;
  RELIC_CUDA_TRY(cudaMemGetInfo(&free, &total));
  if (options.memory_limit > 0) free = std::min<size_t>(free, options.memory_limit);
  const size_t activations = free / kActivationShare;
  *resident = store + states + optimizer + activations <= free;
  description_ = std::string(nameOf(compute_)) + " training; memory: embeddings " + gibibytes(store) +
                 (*resident ? "" : " (too much: sent with every batch)") + ", parameters " + gibibytes(states) +
                 ", optimiser " + gibibytes(optimizer) + ", kept for activations " + gibibytes(activations) + " of " +
                 gibibytes(free) + " free";
  if (states + optimizer + activations <= free) return Status::success();
  return Status::failure("RELIC_OUT_OF_MEMORY", "the GPU is too small for this model: " + description_ +
                                                    "\n  fix: a smaller model_config.d_model or fewer layers, or a "
                                                    "GPU with more memory");
}

Status GpuModel::writeState(int64_t index, const float* values) {
  RELIC_TRY(context_.enter());
  encoded_.clear();
  return states_.write(context_, index, values);
}

Status GpuModel::readState(int64_t index, float* values) const {
  RELIC_TRY(context_.enter());
  return states_.read(context_, index, values);
}

Status GpuModel::readGradient(int64_t index, float* values, bool* trained) const {
  *trained = optimizer_ != nullptr && optimizer_->trains(index);
  if (!*trained) return Status::success();
  RELIC_TRY(context_.enter());
  const auto length = static_cast<size_t>(states_.length(index));
  RELIC_CUDA_TRY(cudaMemcpyAsync(values, optimizer_->gradient(index), length * sizeof(float), cudaMemcpyDeviceToHost,
                                 context_.stream()));
  RELIC_TRY(context_.synchronize());
  for (size_t i = 0; i < length; i++) values[i] *= gradientFactor_;
  return Status::success();
}

Status GpuModel::readMoments(int64_t index, const Moments& out, bool* trained) const {
  *trained = optimizer_ != nullptr && optimizer_->trains(index);
  if (!*trained) return Status::success();
  RELIC_TRY(context_.enter());
  return optimizer_->readMoments(context_, index, states_, out);
}

Status GpuModel::writeMoments(int64_t index, const Moments& values, bool* trained) {
  *trained = optimizer_ != nullptr && optimizer_->trains(index);
  if (!*trained) return Status::success();
  RELIC_TRY(context_.enter());
  return optimizer_->writeMoments(context_, index, states_, values);
}

Status GpuModel::setOptimizer(const OptimizerSettings& settings, const double* words, size_t count, bool keepState) {
  RELIC_TRY(context_.enter());
  Gradients gradients;
  RELIC_TRY(decodeGradients(words, count, trainingProgram_, &gradients));
  Plan plan = planTraining(trainingProgram_, gradients);
  auto optimizer = std::make_unique<OptimizerState>();
  RELIC_TRY(optimizer->create(context_, settings, gradients.trained, states_, keepState ? optimizer_.get() : nullptr,
                              applied_));
  graphs_.clear();
  optimizer_ = std::move(optimizer);
  trainingPlan_ = std::move(plan);
  if (exchange_ != nullptr) {
    const auto ranges = optimizer_->ranges(lastGradientSteps(trainingProgram_, trainingPlan_));
    exchange_->plan(ranges, optimizer_->gradients(), fingerprint());
  }
  return Status::success();
}

size_t GpuModel::memory() const {
  return states_.bytes() + store_.bytes() + arena_.bytes() + outcome_.bytes() + lossSums_.bytes() + records_.bytes() +
         encoded_.bytes() + gemm_->bytes() + context_.bytes() + training_->bytes() + scoring_->bytes() +
         (optimizer_ == nullptr ? 0 : optimizer_->bytes()) + (exchange_ == nullptr ? 0 : exchange_->bytes());
}

}  // namespace relic::cuda
