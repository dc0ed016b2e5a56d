// Embedding stores: a packed store mapped into memory, and rows that the caller gathered.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <string>

#include "model.h"

namespace relic {
namespace {

constexpr int kFloat32 = 0;
constexpr int kFloat16 = 1;
constexpr int kBfloat16 = 2;

float fromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// IEEE 754 binary16 to binary32. No step makes a subnormal float32, so that threads which flush them agree.
float halfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = half & 0x7fffu;
  uint32_t bits = (magnitude << 13) + (112u << 23);
  if (magnitude >= 0x7c00u) bits = (magnitude << 13) | 0x7f800000u;
  if (magnitude < 0x400u) {
    const float subnormal = static_cast<float>(magnitude) * 0x1p-24f;
    std::memcpy(&bits, &subnormal, sizeof bits);
  }
  return fromBits(sign | bits);
}

class MappedStore : public Store {
 public:
  MappedStore(const unsigned char* file, size_t fileBytes, const unsigned char* rows, int dtype, int64_t dim,
              std::vector<double> rowOffsets, std::vector<int32_t> lengths)
      : file_(file),
        fileBytes_(fileBytes),
        rows_(rows),
        dtype_(dtype),
        dim_(dim),
        rowOffsets_(std::move(rowOffsets)),
        lengths_(std::move(lengths)) {}
  ~MappedStore() override { munmap(const_cast<unsigned char*>(file_), fileBytes_); }
  MappedStore(const MappedStore&) = delete;
  MappedStore& operator=(const MappedStore&) = delete;

  int64_t dim() const override { return dim_; }
  int64_t count() const override { return static_cast<int64_t>(lengths_.size()); }
  int32_t length(int64_t index) const override { return lengths_[static_cast<size_t>(index)]; }

  void read(int64_t index, float* out) const override {
    const auto from = static_cast<size_t>(rowOffsets_[static_cast<size_t>(index)]) * static_cast<size_t>(dim_);
    const size_t values = static_cast<size_t>(length(index)) * static_cast<size_t>(dim_);
    if (dtype_ == kFloat32) {
      std::memcpy(out, rows_ + from * 4, values * 4);
      return;
    }
    // Rows begin at a multiple of their element size: openMappedStore saw to it.
    const auto* in = reinterpret_cast<const uint16_t*>(rows_ + from * 2);
    if (dtype_ == kFloat16) {
      for (size_t i = 0; i < values; i++) out[i] = halfToFloat(in[i]);
    } else {
      for (size_t i = 0; i < values; i++) out[i] = fromBits(static_cast<uint32_t>(in[i]) << 16);
    }
  }

  // Mapped pages belong to the system's file cache.
  size_t bytes() const override { return rowOffsets_.size() * sizeof(double) + lengths_.size() * sizeof(int32_t); }

 private:
  const unsigned char* file_;
  size_t fileBytes_;
  const unsigned char* rows_;
  int dtype_;
  int64_t dim_;
  std::vector<double> rowOffsets_;
  std::vector<int32_t> lengths_;
};

class MemoryStore : public Store {
 public:
  MemoryStore(int64_t dim, std::vector<int32_t> lengths, std::vector<float> rows)
      : dim_(dim), lengths_(std::move(lengths)), rows_(std::move(rows)) {
    offsets_.reserve(lengths_.size());
    size_t at = 0;
    for (const int32_t length : lengths_) {
      offsets_.push_back(at);
      at += static_cast<size_t>(length) * static_cast<size_t>(dim);
    }
  }

  int64_t dim() const override { return dim_; }
  int64_t count() const override { return static_cast<int64_t>(lengths_.size()); }
  int32_t length(int64_t index) const override { return lengths_[static_cast<size_t>(index)]; }

  void read(int64_t index, float* out) const override {
    const size_t values = static_cast<size_t>(length(index)) * static_cast<size_t>(dim_);
    if (values > 0) std::memcpy(out, rows_.data() + offsets_[static_cast<size_t>(index)], values * sizeof(float));
  }

  size_t bytes() const override {
    return rows_.size() * sizeof(float) + lengths_.size() * (sizeof(int32_t) + sizeof(size_t));
  }

 private:
  int64_t dim_;
  std::vector<int32_t> lengths_;
  std::vector<float> rows_;
  std::vector<size_t> offsets_;
};

Status storeInvalid(const char* path, const std::string& what) {
  return Status::failure("RELIC_STORE_INVALID", std::string(path) + ": " + what);
}

Status systemFailure(const char* path, const char* doing) {
  return Status::failure("RELIC_IO", std::string(path) + ": cannot " + doing + ": " + std::strerror(errno));
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

// What is wrong with the row table, or an empty string.
std::string tableFault(int64_t dim, size_t elementBytes, uint64_t dataBytes, const std::vector<double>& rowOffsets,
                       const std::vector<int32_t>& lengths) {
  if (rowOffsets.size() != lengths.size() + 1) return "expected one row offset more than proteins";
  const double maxRows = static_cast<double>(dataBytes / (static_cast<uint64_t>(dim) * elementBytes));
  for (size_t i = 0; i < rowOffsets.size(); i++) {
    const double offset = rowOffsets[i];
    if (!(offset >= 0 && offset <= maxRows) || offset != std::floor(offset)) {
      return "row offset " + std::to_string(i) + " lies outside the file";
    }
    if (i > 0 && !(lengths[i - 1] >= 0 && offset - rowOffsets[i - 1] >= lengths[i - 1])) {
      return "protein " + std::to_string(i - 1) + " has fewer rows than its length";
    }
  }
  return "";
}

}  // namespace

Status openMappedStore(const char* path, uint64_t dataStart, int dtype, int64_t dim, std::vector<double> rowOffsets,
                       std::vector<int32_t> lengths, std::shared_ptr<Store>* out) {
  if (dtype != kFloat32 && dtype != kFloat16 && dtype != kBfloat16) return storeInvalid(path, "unknown number format");
  if (dim < 1 || dim > INT32_MAX) return storeInvalid(path, "expected rows of at least one value");
  const Descriptor file(open(path, O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return systemFailure(path, "open the store");
  struct stat facts;
  if (fstat(file.get(), &facts) != 0) return systemFailure(path, "read the size of the store");
  const auto fileBytes = static_cast<uint64_t>(facts.st_size);
  const size_t elementBytes = dtype == kFloat32 ? 4 : 2;
  if (dataStart >= fileBytes || dataStart % elementBytes != 0) {
    return storeInvalid(path, "the embeddings begin outside the file");
  }
  const std::string fault = tableFault(dim, elementBytes, fileBytes - dataStart, rowOffsets, lengths);
  if (!fault.empty()) return storeInvalid(path, fault);
  void* mapped = mmap(nullptr, static_cast<size_t>(fileBytes), PROT_READ, MAP_SHARED, file.get(), 0);
  if (mapped == MAP_FAILED) return systemFailure(path, "map the store into memory");
  const auto* bytes = static_cast<const unsigned char*>(mapped);
  *out = std::make_shared<MappedStore>(bytes, static_cast<size_t>(fileBytes), bytes + dataStart, dtype, dim,
                                       std::move(rowOffsets), std::move(lengths));
  return Status::success();
}

std::shared_ptr<Store> makeMemoryStore(int64_t dim, std::vector<int32_t> lengths, std::vector<float> rows) {
  return std::make_shared<MemoryStore>(dim, std::move(lengths), std::move(rows));
}

}  // namespace relic
