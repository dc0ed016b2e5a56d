// Reads the arguments of calls from JavaScript. Every buffer's kind and length is checked here, whatever TypeScript
// checked before: a wrong one would be a wild read.
#pragma once

#include <napi.h>

#include <cmath>
#include <cstdint>
#include <span>
#include <string>

#include "relic/status.h"

namespace relic {

inline constexpr size_t kAnyLength = SIZE_MAX;
// Whole numbers that a double holds exactly.
inline constexpr double kMaxInteger = 9007199254740991.0;

inline Status wrongArgument(const std::string& name, const std::string& expected) {
  return Status::failure("RELIC_ENGINE_CALL", "argument " + name + " of a native call: expected " + expected);
}

template <typename T>
struct ArrayKind;
template <>
struct ArrayKind<float> {
  static constexpr napi_typedarray_type type = napi_float32_array;
  static constexpr const char* name = "Float32Array";
};
template <>
struct ArrayKind<double> {
  static constexpr napi_typedarray_type type = napi_float64_array;
  static constexpr const char* name = "Float64Array";
};
template <>
struct ArrayKind<uint8_t> {
  static constexpr napi_typedarray_type type = napi_uint8_array;
  static constexpr const char* name = "Uint8Array";
};
template <>
struct ArrayKind<int32_t> {
  static constexpr napi_typedarray_type type = napi_int32_array;
  static constexpr const char* name = "Int32Array";
};
template <>
struct ArrayKind<uint32_t> {
  static constexpr napi_typedarray_type type = napi_uint32_array;
  static constexpr const char* name = "Uint32Array";
};

// A view of a typed array of `length` elements; it is valid until JavaScript runs again.
template <typename T>
Status readArray(Napi::Value value, const char* name, size_t length, std::span<T>* out) {
  napi_typedarray_type type{};
  size_t received = 0;
  void* data = nullptr;
  const bool isArray =
      value.IsTypedArray() &&
      napi_get_typedarray_info(value.Env(), value, &type, &received, &data, nullptr, nullptr) == napi_ok &&
      type == ArrayKind<T>::type;
  if (!isArray) return wrongArgument(name, std::string("a ") + ArrayKind<T>::name);
  if (length != kAnyLength && received != length) {
    return wrongArgument(name, std::to_string(length) + " elements, received " + std::to_string(received));
  }
  *out = {static_cast<T*>(data), received};
  return Status::success();
}

inline Status readObject(Napi::Value value, const char* name, Napi::Object* out) {
  if (!value.IsObject()) return wrongArgument(name, "an object");
  *out = value.As<Napi::Object>();
  return Status::success();
}

inline Status readBoolean(Napi::Value value, const char* name, bool* out) {
  if (!value.IsBoolean()) return wrongArgument(name, "true or false");
  *out = value.As<Napi::Boolean>().Value();
  return Status::success();
}

inline Status readNumber(Napi::Value value, const char* name, double* out) {
  if (!value.IsNumber()) return wrongArgument(name, "a number");
  *out = value.As<Napi::Number>().DoubleValue();
  return Status::success();
}

// A whole number from `least` to `most`.
template <typename T>
Status readInteger(Napi::Value value, const char* name, double least, double most, T* out) {
  double number = NAN;
  RELIC_TRY(readNumber(value, name, &number));
  if (!(number >= least && number <= most && std::trunc(number) == number)) {
    return wrongArgument(name, "a whole number from " + std::to_string(static_cast<int64_t>(least)) + " to " +
                                   std::to_string(static_cast<int64_t>(most)) + ", received " + std::to_string(number));
  }
  *out = static_cast<T>(number);
  return Status::success();
}

inline Status readString(Napi::Value value, const char* name, std::string* out) {
  if (!value.IsString()) return wrongArgument(name, "a string");
  *out = value.As<Napi::String>().Utf8Value();
  return Status::success();
}

}  // namespace relic
