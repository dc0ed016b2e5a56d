// Arrays in the emulated device's memory, for tests of kernels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cuda/device.h"
#include "cuda/dropout.h"

namespace relic::cuda {

using Floats = std::vector<float>;

inline size_t at(int64_t i) { return static_cast<size_t>(i); }

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(int64_t count) : count_(count) { cudaMalloc(&data_, at(count) * sizeof(T)); }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(static_cast<int64_t>(values.size())) {
    std::copy(values.begin(), values.end(), data_);
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() { return data_; }
  std::vector<T> values() const { return {data_, data_ + count_}; }
  Floats floats() const {
    Floats out;
    for (int64_t i = 0; i < count_; i++) out.push_back(toFloat(data_[i]));
    return out;
  }

 private:
  T* data_ = nullptr;
  int64_t count_;
};

// A dropout with its step in device memory.
struct DropoutOnDevice {
  explicit DropoutOnDevice(const Dropout& d)
      : step(std::vector<uint32_t>{d.step}),
        onDevice{{d.key[0], d.key[1]}, d.site, step.data(), d.threshold, d.scale} {}

  DeviceArray<uint32_t> step;
  const DeviceDropout onDevice;
};

template <typename T>
std::vector<T> rounded(const Floats& values) {
  std::vector<T> out;
  for (const float value : values) out.push_back(fromFloat<T>(value));
  return out;
}

}  // namespace relic::cuda
