#include "addon/model_options.h"

#include <string>
#include <utility>
#include <vector>

#include "addon/arguments.h"
#include "addon/comm_object.h"

namespace relic {
namespace {

constexpr double kMaxCount = 2147483647;

}  // namespace

Status readStore(Napi::Value value, std::shared_ptr<Store>* out) {
  Napi::Object object;
  RELIC_TRY(readObject(value, "store", &object));
  int64_t dim = 0;
  RELIC_TRY(readInteger(object.Get("dim"), "store.dim", 1, kMaxCount, &dim));
  std::span<int32_t> lengths;
  RELIC_TRY(readArray(object.Get("lengths"), "store.lengths", kAnyLength, &lengths));
  uint64_t total = 0;
  for (const int32_t length : lengths) {
    if (length < 0) return wrongArgument("store.lengths", "no negative length");
    total += static_cast<uint64_t>(length);
  }
  std::vector<int32_t> ownLengths(lengths.begin(), lengths.end());
  if (object.Get("path").IsUndefined()) {
    std::span<float> rows;
    RELIC_TRY(readArray(object.Get("rows"), "store.rows", total * static_cast<uint64_t>(dim), &rows));
    *out = makeMemoryStore(dim, std::move(ownLengths), std::vector<float>(rows.begin(), rows.end()));
    return Status::success();
  }
  std::string path;
  RELIC_TRY(readString(object.Get("path"), "store.path", &path));
  uint64_t dataStart = 0;
  RELIC_TRY(readInteger(object.Get("dataStart"), "store.dataStart", 0, kMaxInteger, &dataStart));
  int dtype = 0;
  RELIC_TRY(readInteger(object.Get("dtype"), "store.dtype", 0, 2, &dtype));
  std::span<double> offsets;
  RELIC_TRY(readArray(object.Get("rowOffsets"), "store.rowOffsets", lengths.size() + 1, &offsets));
  return openMappedStore(path.c_str(), dataStart, dtype, dim, {offsets.begin(), offsets.end()}, std::move(ownLengths),
                         out);
}

Status readRanks(const Napi::Object& options, Ranks* out) {
  if (options.Get("comm").IsUndefined()) return Status::success();
  RELIC_TRY(CommObject::readQueue(options.Get("comm"), "comm", &out->queue));
  if (options.Get("bucketBytes").IsUndefined()) return Status::success();
  if (!options.Get("bucketBytes").IsArray()) return wrongArgument("bucketBytes", "an array of two sizes");
  const auto sizes = options.Get("bucketBytes").As<Napi::Array>();
  RELIC_TRY(readInteger(sizes.Get(0u), "bucketBytes[0]", 1, kMaxInteger, &out->buckets.first));
  return readInteger(sizes.Get(1u), "bucketBytes[1]", 1, kMaxInteger, &out->buckets.rest);
}

Status readCuda(Napi::Value value, CudaOptions* out) {
  Napi::Object object;
  RELIC_TRY(readObject(value, "cuda", &object));
  RELIC_TRY(readString(object.Get("library"), "cuda.library", &out->library));
  RELIC_TRY(readInteger(object.Get("device"), "cuda.device", 0, kMaxCount, &out->device));
  RELIC_TRY(readInteger(object.Get("precision"), "cuda.precision", 0, 2, &out->precision));
  RELIC_TRY(readInteger(object.Get("scoringPrecision"), "cuda.scoringPrecision", 0, 2, &out->scoringPrecision));
  RELIC_TRY(readInteger(object.Get("memoryLimit"), "cuda.memoryLimit", 0, kMaxInteger, &out->memoryLimit));
  if (!object.Get("cublasPaths").IsArray()) return wrongArgument("cuda.cublasPaths", "an array");
  const auto paths = object.Get("cublasPaths").As<Napi::Array>();
  for (uint32_t i = 0; i < paths.Length(); i++) {
    RELIC_TRY(readString(paths.Get(i), "cuda.cublasPaths", &out->cublasPaths.emplace_back()));
  }
  return Status::success();
}

}  // namespace relic
