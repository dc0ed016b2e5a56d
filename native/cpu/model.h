// A program bound to parameters, an embedding store and an optimiser: the C++ twin of src/engine/typescript/model.ts,
// which CPU and GPU implement. It knows nothing of Node. Calls on one model must not overlap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "comm/buckets.h"
#include "relic/status.h"

namespace relic {

namespace comm {
class CallQueue;
}

// How long every protein is, by index.
class ProteinLengths {
 public:
  virtual ~ProteinLengths() = default;
  virtual int64_t count() const = 0;
  // Residues in use, after truncation.
  virtual int32_t length(int64_t index) const = 0;
};

// Rows of every protein by index, from a mapped packed store or from memory.
class Store : public ProteinLengths {
 public:
  virtual int64_t dim() const = 0;
  // Writes length(index) * dim() float32 values.
  virtual void read(int64_t index, float* out) const = 0;
  virtual size_t bytes() const = 0;
};

// Maps a packed store (src/artifacts/store-format.ts). dtype: 0 float32, 1 float16, 2 bfloat16.
// rowOffsets (count + 1), lengths (count).
Status openMappedStore(const char* path, uint64_t dataStart, int dtype, int64_t dim, std::vector<double> rowOffsets,
                       std::vector<int32_t> lengths, std::shared_ptr<Store>* out);
// Copies rows (sum of lengths, dim) that the caller gathered.
std::shared_ptr<Store> makeMemoryStore(int64_t dim, std::vector<int32_t> lengths, std::vector<float> rows);

struct OptimizerSettings {
  int type;  // 0 adamw, 1 sgd
  double beta2, eps, weightDecay;
};

struct StepSettings {
  uint32_t step;
  double lr, momentum;
  bool hardExamples;
  double keepRatio;
  int64_t minKeep;
  // Whether this rank was asked to stop.
  bool stop = false;
};

// What an optimiser keeps of one parameter, in the caller's memory. first: the first moment of AdamW, or the momentum
// of SGD. second: the second moment of AdamW; SGD leaves it alone. Both (length of the state).
struct Moments {
  float* first;
  float* second;
  int64_t* steps;
};

struct BatchView {
  int64_t pairs;
  const int32_t* proteinA;
  const int32_t* proteinB;
  const float* labels;
};

struct ShardView {
  BatchView batch;
  uint32_t key[2];
};

struct ShardLoss {
  double lossSum;
  int64_t kept;
  // StepSettings::stop of the rank that had this shard.
  bool stop = false;
};

// How a model trains together with those of other ranks, each of which has one shard of a step.
struct Ranks {
  // Null for a model on its own. It is open.
  std::shared_ptr<comm::CallQueue> queue;
  comm::BucketSizes buckets;
};

// What ranks take over from rank 0.
enum class Synchronized {
  buffers,
  everything,  // parameters, buffers, and the optimizer's state where there is an optimizer
};

struct CollectiveSeconds {
  // For which the model waited, with nothing to compute.
  double waited = 0;
  // In collectives altogether.
  double total = 0;
};

// How a model runs on the CPU.
struct CpuOptions {
  int threads = 1;
  // "" for the best of this CPU, or a name listed by availableIsas(), or with `bf16` by bf16Isas().
  const char* isa = "";
  // Whether the factors of linear layers over residues are rounded to bfloat16.
  bool bf16 = false;
  // What scoring keeps of encoder outputs, see encoded_proteins.h.
  size_t encoderCacheBytes = SIZE_MAX;
};

struct StepView {
  const ShardView* shards;
  int64_t shardCount;
  StepSettings settings;
};

class Model {
 public:
  virtual ~Model() = default;

  // `words` is a program encoded by src/engine/native/encode.ts.
  static Status create(const double* words, size_t count, std::shared_ptr<Store> store, const CpuOptions& options,
                       std::unique_ptr<Model>* out, const Ranks& ranks = {});

  // State tensors in state-dict order: parameters and buffers. `index` counts through Program.stateNames.
  virtual int64_t stateCount() const = 0;
  virtual int64_t stateLength(int64_t index) const = 0;
  virtual Status writeState(int64_t index, const float* values) = 0;
  virtual Status readState(int64_t index, float* values) const = 0;
  // The gradient the last step applied; *trained is false, and `values` unchanged, when the parameter is not trained.
  virtual Status readGradient(int64_t index, float* values, bool* trained) const = 0;

  // The optimiser's state of one parameter, in the form of struct Moments; *trained is false, and nothing changes, when
  // the parameter is not trained.
  virtual Status readMoments(int64_t index, const Moments& out, bool* trained) const = 0;
  virtual Status writeMoments(int64_t index, const Moments& values, bool* trained) = 0;

  // `words` is the backward list encoded by src/engine/native/encode.ts.
  virtual Status setOptimizer(const OptimizerSettings&, const double* words, size_t count, bool keepState) = 0;
  // losses: of every shard, or with ranks, of every rank's.
  virtual Status trainStep(const ShardView* shards, int64_t shardCount, const StepSettings&, ShardLoss* losses) = 0;
  // The same for `count` steps in turn; losses: of every shard of every step. *done: how many steps were taken, less than
  // `count` only on a failure, which is then that of the step after them.
  virtual Status trainSteps(const StepView* steps, int64_t count, ShardLoss* losses, int64_t* done);
  // logits, losses: (pairs)
  virtual Status evaluate(const BatchView&, float* logits, float* losses) = 0;

  // Of a run with ranks; a model on its own has nothing to take over.
  virtual int64_t rankCount() const { return 1; }
  virtual Status synchronize(Synchronized) { return Status::success(); }
  virtual CollectiveSeconds collectiveSeconds() const { return {}; }

  // From any thread: a call that runs ends soon, with a failure, and so do later ones. The model is only good to be
  // destroyed then. Where a step is short enough this may do nothing.
  virtual void cancel() {}

  virtual size_t memory() const = 0;
  // The kernel set in use, or what else runs the model.
  virtual const char* kernels() const = 0;
};

// Names of the kernel sets this binary has and this CPU can run, best first: avx512, avx2, neon, generic.
std::vector<const char*> availableIsas();
// Those of them that can round the factors of products to bfloat16.
std::vector<const char*> bf16Isas();

}  // namespace relic
