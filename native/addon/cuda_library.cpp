#include "addon/cuda_library.h"

#include <dlfcn.h>

#include <map>
#include <mutex>

namespace relic {
namespace {

Status unavailable(const std::string& path, const std::string& what) {
  return Status::failure("RELIC_ENGINE_UNAVAILABLE", path + ": " + what);
}

Status load(const std::string& path, CudaLibrary* out) {
  // Local: symbols of another CUDA runtime in this process stay apart from this library's own.
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* why = dlerror();
    // It begins with the path.
    return Status::failure("RELIC_ENGINE_UNAVAILABLE", why == nullptr ? path + ": it cannot be opened" : why);
  }
  const char* missing = nullptr;
#define RELIC_RESOLVE(name)                                                                  \
  out->name = reinterpret_cast<decltype(&relic_cuda_##name)>(dlsym(handle, "relic_cuda_" #name)); \
  if (out->name == nullptr) missing = "relic_cuda_" #name;
  RELIC_CUDA_FUNCTIONS(RELIC_RESOLVE)
#undef RELIC_RESOLVE
  if (missing != nullptr) return unavailable(path, std::string("it has no function ") + missing);
  if (const int32_t version = out->abi_version(); version != RELIC_CUDA_ABI_VERSION) {
    return unavailable(path, "expected interface version " + std::to_string(RELIC_CUDA_ABI_VERSION) + ", received " +
                                 std::to_string(version) + "; build both anew");
  }
  return Status::success();
}

}  // namespace

// Libraries stay open: device code and worker threads of a driver do not survive being unloaded.
Status cudaLibraryAt(const std::string& path, const CudaLibrary** out) {
  static std::mutex mutex;
  static std::map<std::string, CudaLibrary> opened;
  const std::lock_guard<std::mutex> lock(mutex);
  auto found = opened.find(path);
  if (found == opened.end()) {
    CudaLibrary library{};
    if (Status status = load(path, &library); !status.ok()) return status;
    found = opened.emplace(path, library).first;
  }
  *out = &found->second;
  return Status::success();
}

}  // namespace relic
