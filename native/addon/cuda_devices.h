// The GPUs of this machine, for JavaScript.
#pragma once

#include <napi.h>

namespace relic {

// cudaDevices(library): the GPUs that the library at this path finds, as {name, capability, memoryBytes, usable}.
// Throws, with the reason, when there is none.
Napi::Value listCudaDevices(const Napi::CallbackInfo& info);

}  // namespace relic
