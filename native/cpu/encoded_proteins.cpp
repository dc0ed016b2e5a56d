#include "encoded_proteins.h"

#include <cstring>
#include <utility>

namespace relic {
namespace {

constexpr size_t kLimitBytes = size_t{1} << 30;
// Marks a protein that `missing` has listed but nobody has encoded yet.
const float kListed = 0;

}  // namespace

const std::vector<int32_t>& EncodedProteins::missing(const std::vector<int32_t>& batch) {
  if (bytes_ > kLimitBytes) clear();
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
