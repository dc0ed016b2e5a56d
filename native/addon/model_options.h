// What a model is created with, read from JavaScript objects.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/cuda_client.h"
#include "cpu/model.h"
#include "relic/status.h"

namespace relic {

// {dim, lengths: Int32Array} and either {rows: Float32Array} or {path, dataStart, dtype: 0 | 1 | 2, rowOffsets:
// Float64Array}.
Status readStore(Napi::Value value, std::shared_ptr<Store>* out);

// `comm`, what openComm gave, and `bucketBytes`, [first, others], of the options; without `comm` the model is on its own.
Status readRanks(const Napi::Object& options, Ranks* out);

// {library, device, precision: 0 | 1 | 2, scoringPrecision: 0 | 1 | 2, memoryLimit, cublasPaths: string[]}
Status readCuda(Napi::Value value, CudaOptions* out);

}  // namespace relic
