/* The GPU engine's C interface: librelic_cuda.so, which the addon opens on demand and Python can load with ctypes.
 *
 * Every call that can fail returns 0, or 1 after which relic_cuda_last_error() tells the calling thread why. Calls on
 * one model must not overlap; different models are independent. Host arrays are copied before a call returns. What a
 * call means is said by Model in native/cpu/model.h, which this interface mirrors.
 */
#ifndef RELIC_CUDA_H
#define RELIC_CUDA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised with every change of this file; a client refuses a library of any other version. */
#define RELIC_CUDA_ABI_VERSION 3
#define RELIC_CUDA_NAME_BYTES 128

#if defined(__GNUC__)
#define RELIC_CUDA_API __attribute__((visibility("default")))
#else
#define RELIC_CUDA_API
#endif

/* How matrix products, attention and the activations between them are held. Statistics, the residual stream, the head,
 * losses and master weights are float32 in every precision. */
enum RelicCudaPrecision {
  RELIC_CUDA_FLOAT32 = 0,
  RELIC_CUDA_BFLOAT16 = 1,
  RELIC_CUDA_FLOAT16 = 2 /* with a dynamic loss scale; a step whose gradients overflow changes no parameter */
};

typedef struct RelicCudaModel RelicCudaModel;
typedef struct RelicCudaComm RelicCudaComm;

typedef struct RelicCudaDevice {
  char name[RELIC_CUDA_NAME_BYTES];
  int32_t major, minor; /* compute capability */
  int32_t multiprocessors;
  int32_t usable; /* 0 when this library holds no code for it */
  uint64_t memory_bytes;
} RelicCudaDevice;

/* Embedding rows. Those that fit the device are read while a model is created and not after; else `read` and `context`
 * must live as long as the model, and `read` is called by every step, from several threads at once. `lengths` is copied. */
typedef struct RelicCudaStore {
  int64_t dim, count;
  const int32_t* lengths; /* (count) */
  void* context;
  void (*read)(void* context, int64_t index, float* out); /* out: (lengths[index], dim) */
} RelicCudaStore;

typedef struct RelicCudaModelOptions {
  const double* program; /* encoded by src/engine/native/encode.ts */
  size_t program_words;
  RelicCudaStore store;
  int32_t device;
  int32_t precision; /* of training */
  int32_t scoring_precision; /* RELIC_CUDA_FLOAT32, or `precision` */
  uint64_t memory_limit; /* bytes of the device that the model may plan with; 0 for all that are free */
  /* Where cuBLASLt may be, in the order in which it is tried; library names are looked up by the system. */
  const char* const* cublas_paths;
  size_t cublas_path_count;
  /* How the model trains with other ranks, each of which has one shard of a step; null for one on its own. The model shares
   * it. Gradients travel in buckets of so many bytes. */
  RelicCudaComm* comm;
  uint64_t first_bucket_bytes, bucket_bytes;
} RelicCudaModelOptions;

#define RELIC_CUDA_ID_BYTES 128

/* One rank of a communicator of NCCL. */
typedef struct RelicCudaCommOptions {
  int32_t device, rank, size;
  const uint8_t* id; /* (RELIC_CUDA_ID_BYTES): of relic_cuda_nccl_id on rank 0 */
  /* Where NCCL may be, as cublas_paths. */
  const char* const* nccl_paths;
  size_t nccl_path_count;
  int64_t timeout_ms; /* of every collective */
  void* progress;     /* relic::comm::Progress of the process, which the library then writes; null for its own */
} RelicCudaCommOptions;

typedef struct RelicCudaOptimizer {
  int32_t type; /* 0 AdamW, 1 SGD */
  double beta2, eps, weight_decay;
} RelicCudaOptimizer;

typedef struct RelicCudaStep {
  uint32_t step;
  double lr, momentum;
  int32_t hard_examples;
  double keep_ratio;
  int64_t min_keep;
  int32_t stop; /* for the other ranks to see */
} RelicCudaStep;

typedef struct RelicCudaBatch {
  int64_t pairs;
  const int32_t* protein_a;
  const int32_t* protein_b;
  const float* labels;
} RelicCudaBatch;

typedef struct RelicCudaShard {
  RelicCudaBatch batch;
  uint32_t key[2];
} RelicCudaShard;

/* A step of relic_cuda_train_steps. */
typedef struct RelicCudaStepShards {
  const RelicCudaShard* shards;
  int64_t shard_count;
  RelicCudaStep settings;
} RelicCudaStepShards;

typedef struct RelicCudaShardLoss {
  double loss_sum;
  int64_t kept;
  int32_t stop; /* RelicCudaStep.stop of the rank that had the shard; 0 without ranks */
} RelicCudaShardLoss;

RELIC_CUDA_API int32_t relic_cuda_abi_version(void);

/* Of the last failed call of this thread: one of the package's error codes, and a text. They live until the next
 * failure. */
RELIC_CUDA_API void relic_cuda_last_error(const char** code, const char** message);

/* Fails with the driver's reason where there is no device. Writes up to `capacity` devices. */
RELIC_CUDA_API int relic_cuda_devices(RelicCudaDevice* devices, int32_t capacity, int32_t* count);

RELIC_CUDA_API int relic_cuda_create(const RelicCudaModelOptions* options, RelicCudaModel** model);
/* Null is allowed. */
RELIC_CUDA_API void relic_cuda_destroy(RelicCudaModel* model);

/* What runs the model, in words, with the sum of its memory: valid until the model is destroyed. */
RELIC_CUDA_API const char* relic_cuda_describe(const RelicCudaModel* model);

RELIC_CUDA_API int64_t relic_cuda_state_count(const RelicCudaModel* model);
RELIC_CUDA_API int64_t relic_cuda_state_length(const RelicCudaModel* model, int64_t index);
RELIC_CUDA_API int relic_cuda_write_state(RelicCudaModel* model, int64_t index, const float* values);
RELIC_CUDA_API int relic_cuda_read_state(const RelicCudaModel* model, int64_t index, float* values);
/* *trained is 0, and `values` unchanged, when the parameter is not trained. */
RELIC_CUDA_API int relic_cuda_read_gradient(const RelicCudaModel* model, int64_t index, float* values, int32_t* trained);

RELIC_CUDA_API int relic_cuda_set_optimizer(RelicCudaModel* model, const RelicCudaOptimizer* settings,
                                            const double* words, size_t count, int32_t keep_state);
RELIC_CUDA_API int relic_cuda_train_step(RelicCudaModel* model, const RelicCudaShard* shards, int64_t shard_count,
                                         const RelicCudaStep* settings, RelicCudaShardLoss* losses);
/* The same for `count` steps, queued one after another with one wait at the end. losses: of every shard of every step, or
 * with ranks, of every rank in every step.
 * *done: how many steps were taken, less than `count` only on a failure, which is then that of the step after them. */
RELIC_CUDA_API int relic_cuda_train_steps(RelicCudaModel* model, const RelicCudaStepShards* steps, int64_t count,
                                          RelicCudaShardLoss* losses, int64_t* done);
/* logits, losses: (pairs) */
RELIC_CUDA_API int relic_cuda_evaluate(RelicCudaModel* model, const RelicCudaBatch* batch, float* logits,
                                       float* losses);

/* The optimiser's state of one parameter, as Model::readMoments has it; *trained is 0, and nothing else changes, when it is
 * not trained. */
RELIC_CUDA_API int relic_cuda_read_moments(const RelicCudaModel* model, int64_t index, float* first, float* second,
                                           int64_t* steps, int32_t* trained);
RELIC_CUDA_API int relic_cuda_write_moments(RelicCudaModel* model, int64_t index, const float* first,
                                            const float* second, int64_t steps, int32_t* trained);

/* Collective calls fail with RELIC_RANKS, and then all later ones do. The id is made on rank 0, whose process must live until
 * all ranks have opened the communicator; it is carried to the others by other means. */
RELIC_CUDA_API int relic_cuda_nccl_id(const char* const* nccl_paths, size_t nccl_path_count, uint8_t* id);
RELIC_CUDA_API int relic_cuda_comm_open(const RelicCudaCommOptions* options, RelicCudaComm** comm);
/* Null is allowed. Models that share the communicator keep it. */
RELIC_CUDA_API void relic_cuda_comm_destroy(RelicCudaComm* comm);
/* Library and version, until it is destroyed. */
RELIC_CUDA_API const char* relic_cuda_comm_describe(const RelicCudaComm* comm);
/* Over memory of the host. data (count or bytes); out (size, bytes). */
RELIC_CUDA_API int relic_cuda_comm_all_reduce_sum(RelicCudaComm* comm, float* data, int64_t count);
RELIC_CUDA_API int relic_cuda_comm_all_gather(RelicCudaComm* comm, const void* in, size_t bytes, void* out);
RELIC_CUDA_API int relic_cuda_comm_broadcast(RelicCudaComm* comm, void* data, size_t bytes, int32_t root);
/* Collective; no call may follow. */
RELIC_CUDA_API int relic_cuda_comm_close(RelicCudaComm* comm);
/* From any thread, also while another call on it runs: that one fails soon, and so do all later ones. */
RELIC_CUDA_API void relic_cuda_comm_give_up(RelicCudaComm* comm);

/* As Model::synchronize, collective; nothing without ranks. */
RELIC_CUDA_API int relic_cuda_synchronize(RelicCudaModel* model, int32_t everything);
/* Of a model with ranks; how many losses a step has then. */
RELIC_CUDA_API int64_t relic_cuda_rank_count(const RelicCudaModel* model);
/* As Model::collectiveSeconds. */
RELIC_CUDA_API void relic_cuda_collective_seconds(const RelicCudaModel* model, double* waited, double* total);

/* Bytes of device memory the model holds. */
RELIC_CUDA_API uint64_t relic_cuda_memory(const RelicCudaModel* model);

/* Steps of float16 training whose gradients overflowed, so that no parameter changed. */
RELIC_CUDA_API int64_t relic_cuda_skipped_steps(const RelicCudaModel* model);

/* Steps that were launched as a whole, as a CUDA graph. */
RELIC_CUDA_API int64_t relic_cuda_replayed_steps(const RelicCudaModel* model);

/* The dropout mask (rows, cols) of a site at a step as the device draws it: 0 or `scale`. For checks. */
RELIC_CUDA_API int relic_cuda_export_mask(int32_t device, const uint32_t key[2], uint32_t site, uint32_t step,
                                          uint32_t threshold, float scale, int64_t rows, int64_t cols, float* mask);

#ifdef __cplusplus
}
#endif
#endif
