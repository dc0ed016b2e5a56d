#include "encoded_proteins.h"

#include <cstring>
#include <utility>

namespace relic {
namespace {

// Marks a protein that `missing` has listed but nobody has encoded yet.
const float kListed = 0;

}  // namespace

const std::vector<int32_t>& EncodedProteins::missing(const std::vector<int32_t>& batch) {
  missing_.clear();
  rows_.resize(static_cast<size_t>(proteins_), nullptr);
  for (const int32_t protein : passingProteins_) rows_[static_cast<size_t>(protein)] = nullptr;
  passingProteins_.clear();
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
  float* place = nullptr;
  if (keptBytes_ + floats * sizeof(float) <= limitBytes_) {
    Arena block(floats);
    place = block.data();
    keptBytes_ += block.bytes();
    kept_.push_back(std::move(block));
  } else {
    passing_.fit(floats);
    place = passing_.data();
    passingProteins_ = layout.proteins;
  }
  if (floats > 0) std::memcpy(place, rows, floats * sizeof(float));
  for (size_t i = 0; i < layout.proteins.size(); i++) {
    rows_[static_cast<size_t>(layout.proteins[i])] = place + layout.offsets[i] * cols;
  }
}

void EncodedProteins::clear() {
  if (kept_.empty() && passing_.capacity() == 0) return;
  kept_.clear();
  keptBytes_ = 0;
  passing_.release();
  passingProteins_.clear();
  rows_.assign(rows_.size(), nullptr);
}

}  // namespace relic
