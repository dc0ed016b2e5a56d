#include "encoded_proteins.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace relic {
namespace {

// An eighth of the machine's memory, and at least 1 GiB.
size_t limitBytes() {
  static const size_t limit = [] {
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    const size_t memory = pages > 0 && size > 0 ? static_cast<size_t>(pages) * static_cast<size_t>(size) : 0;
    return std::max(memory / 8, size_t{1} << 30);
  }();
  return limit;
}

// Marks a protein that `missing` has listed but nobody has encoded yet.
const float kListed = 0;

}  // namespace

const std::vector<int32_t>& EncodedProteins::missing(const std::vector<int32_t>& batch) {
  if (bytes_ > limitBytes()) clear();
  missing_.clear();
  rows_.resize(static_cast<size_t>(proteins_), nullptr);
  for (const int32_t protein : batch) {
    const float*& rows = rows_[static_cast<size_t>(protein)];
    if (rows != nullptr && rows != &kListed) continue;
    if (rows == nullptr) missing_.push_back(protein);
    rows = &kListed;
  }
  // Not left behind: a call that fails before `keep` must find them missing again.
  for (const int32_t protein : missing_) rows_[static_cast<size_t>(protein)] = nullptr;
  return missing_;
}

void EncodedProteins::keep(const Layout& layout, const float* rows, int64_t cols) {
  const size_t floats = static_cast<size_t>(layout.tokens) * static_cast<size_t>(cols);
  Arena block(floats);
  if (floats > 0) std::memcpy(block.data(), rows, floats * sizeof(float));
  bytes_ += block.bytes();
  for (size_t i = 0; i < layout.proteins.size(); i++) {
    rows_[static_cast<size_t>(layout.proteins[i])] = block.data() + layout.offsets[i] * cols;
  }
  memory_.push_back(std::move(block));
}

void EncodedProteins::clear() {
  if (memory_.empty()) return;
  memory_.clear();
  rows_.assign(rows_.size(), nullptr);
  bytes_ = 0;
}

}  // namespace relic
