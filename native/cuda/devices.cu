#include "cuda/devices.h"

#include <cstdio>
#include <string>

#include "cuda/checked.h"
#include "cuda/launch.h"
#include "cuda/ops.h"

namespace relic::cuda {
namespace {

__global__ void usableKernel() {}

__global__ void onesKernel(int64_t count, float* out) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) out[i] = 1;
}

}  // namespace

Status listDevices(std::vector<RelicCudaDevice>* devices) {
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) {
    cudaGetLastError();
    return Status::failure("RELIC_ENGINE_UNAVAILABLE",
                           std::string("no GPU: ") + cudaGetErrorString(error) + " (CUDA error " +
                               std::to_string(static_cast<int>(error)) + ", from cudaGetDeviceCount)");
  }
  if (count == 0) return Status::failure("RELIC_ENGINE_UNAVAILABLE", "no GPU: the driver lists none");
  for (int i = 0; i < count; i++) {
    cudaDeviceProp facts;
    RELIC_CUDA_TRY(cudaGetDeviceProperties(&facts, i));
    RelicCudaDevice device{};
    std::snprintf(device.name, sizeof device.name, "%.*s", static_cast<int>(sizeof device.name - 1), facts.name);
    device.major = facts.major;
    device.minor = facts.minor;
    device.multiprocessors = facts.multiProcessorCount;
    device.memory_bytes = facts.totalGlobalMem;
    RELIC_CUDA_TRY(cudaSetDevice(i));
    cudaFuncAttributes attributes;
    device.usable = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(usableKernel)) == cudaSuccess;
    cudaGetLastError();
    devices->push_back(device);
  }
  return Status::success();
}

Status exportMask(int device, const Dropout& dropout, int64_t rows, int64_t cols, float* mask) {
  Buffer memory, step;
  Context context;
  RELIC_TRY(context.open(device));
  const auto bytes = static_cast<size_t>(rows * cols) * sizeof(float);
  RELIC_TRY(memory.fit(bytes, "a mask"));
  RELIC_TRY(step.fit(sizeof dropout.step, "the step of a mask"));
  RELIC_CUDA_TRY(cudaMemcpyAsync(step.as<void>(), &dropout.step, sizeof dropout.step, cudaMemcpyHostToDevice,
                                 context.stream()));
  const DeviceDropout onDevice{{dropout.key[0], dropout.key[1]}, dropout.site,     step.as<uint32_t>(),
                               dropout.threshold,                dropout.scale};
  const Tensor values{memory.as<void>(), Format::float32};
  RELIC_LAUNCH(context, onesKernel, gridFor(context, rows * cols), dim3(kThreads), rows * cols, memory.as<float>());
  RELIC_TRY(dropoutApply(context, {{onDevice, {}}}, rows, cols, values, values, false));
  RELIC_CUDA_TRY(cudaMemcpyAsync(mask, memory.as<void>(), bytes, cudaMemcpyDeviceToHost, context.stream()));
  return context.synchronize();
}

}  // namespace relic::cuda
