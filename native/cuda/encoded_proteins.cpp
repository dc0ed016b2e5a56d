#include "cuda/encoded_proteins.h"

#include <algorithm>
#include <utility>

#include "cuda/ops.h"

namespace relic::cuda {

std::vector<int32_t> EncodedProteins::missing(const std::vector<int32_t>& batch) {
  if (bytes_ > limitBytes_) clear();
  std::vector<int32_t> result;
  for (const int32_t protein : batch) {
    if (rows(protein) == nullptr) result.push_back(protein);
  }
  std::sort(result.begin(), result.end());
  result.erase(std::unique(result.begin(), result.end()), result.end());
  return result;
}

Status EncodedProteins::keep(Context& context, const Layout& layout, const Tensor& rows, int64_t cols) {
  Buffer block;
  RELIC_TRY(block.fit(static_cast<size_t>(layout.tokens * cols) * bytesOf(format_),
                      "the encoded proteins of scoring"));
  const Tensor to{block.as<void>(), format_};
  RELIC_TRY(copyOrAdd(context, layout.tokens * cols, rows, to, false));
  for (size_t i = 0; i < layout.proteins.size(); i++) {
    rows_[static_cast<size_t>(layout.proteins[i])] = to.from(layout.offsets[i] * cols).data;
  }
  bytes_ += block.bytes();
  memory_.push_back(std::move(block));
  return Status::success();
}

void EncodedProteins::clear() {
  if (memory_.empty()) return;
  memory_.clear();
  std::fill(rows_.begin(), rows_.end(), nullptr);
  bytes_ = 0;
}

}  // namespace relic::cuda
