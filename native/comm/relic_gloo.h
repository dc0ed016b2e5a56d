// The C interface of librelic_gloo.so: collectives of Gloo between processes that no MPI started. The library is made where
// Gloo is installed; the addon opens it when it is asked for, so that neither depends on the other.
//
// Functions return 0, or anything else and say why in relic_gloo_last_error of the same thread.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define RELIC_GLOO_ABI_VERSION 1

#if defined(RELIC_GLOO_BUILD)
#define RELIC_GLOO_API __attribute__((visibility("default")))
#else
#define RELIC_GLOO_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct RelicGloo RelicGloo;

// Where ranks leave their addresses for each other. Both return 0, or anything else when they fail.
typedef struct {
  void* context;
  int32_t (*set)(void* context, const char* key, const void* bytes, size_t count);
  // Waits for the key, then calls take(taker, bytes, count) once.
  int32_t (*get)(void* context, const char* key, int64_t timeout_ms, void* taker,
                 void (*take)(void* taker, const void* bytes, size_t count));
} RelicGlooStore;

typedef struct {
  int32_t rank, size;
  // The address of this rank that the others reach: a host name or number.
  const char* address;
  // How long one call may take.
  int64_t timeout_ms;
  // Used while the library opens.
  RelicGlooStore store;
} RelicGlooOptions;

RELIC_GLOO_API int32_t relic_gloo_abi_version(void);
RELIC_GLOO_API const char* relic_gloo_last_error(void);
RELIC_GLOO_API int32_t relic_gloo_open(const RelicGlooOptions* options, RelicGloo** out);
// data (count): the sum over all ranks, the same bytes on each.
RELIC_GLOO_API int32_t relic_gloo_all_reduce_sum(RelicGloo* gloo, float* data, int64_t count);
// data (bytes): those of `root`.
RELIC_GLOO_API int32_t relic_gloo_broadcast(RelicGloo* gloo, void* data, size_t bytes, int32_t root);
// out (size, bytes)
RELIC_GLOO_API int32_t relic_gloo_all_gather(RelicGloo* gloo, const void* in, size_t bytes, void* out);
// From any thread: the call that waits fails.
RELIC_GLOO_API void relic_gloo_cancel(RelicGloo* gloo);
RELIC_GLOO_API void relic_gloo_close(RelicGloo* gloo);

#ifdef __cplusplus
}
#endif
