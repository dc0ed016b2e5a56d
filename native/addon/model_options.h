// Reads the options of createModel.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/cuda_client.h"
#include "cpu/model.h"
#include "relic/status.h"

namespace relic {

Status readStore(Napi::Value value, std::shared_ptr<Store>* out);
// `comm` and `bucketBytes` of the options; without `comm` the model is on its own.
Status readRanks(const Napi::Object& options, Ranks* out);
Status readCuda(Napi::Value value, CudaOptions* out);

}  // namespace relic
