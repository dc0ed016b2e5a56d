#include "addon/cuda_devices.h"

#include <string>
#include <vector>

#include "addon/arguments.h"
#include "addon/cuda_client.h"
#include "addon/errors.h"

namespace relic {

Napi::Value listCudaDevices(const Napi::CallbackInfo& info) {
  std::string library;
  std::vector<RelicCudaDevice> devices;
  const auto status = guarded([&]() -> Status {
    RELIC_TRY(readString(info[0], "library", &library));
    return cudaDevices(library, &devices);
  });
  if (!status.ok()) return failed(info.Env(), status);
  auto list = Napi::Array::New(info.Env(), devices.size());
  for (uint32_t i = 0; i < devices.size(); i++) {
    auto device = Napi::Object::New(info.Env());
    device.Set("name", devices[i].name);
    device.Set("capability", std::to_string(devices[i].major) + "." + std::to_string(devices[i].minor));
    device.Set("memoryBytes", static_cast<double>(devices[i].memory_bytes));
    device.Set("usable", devices[i].usable != 0);
    list.Set(i, device);
  }
  return list;
}

}  // namespace relic
