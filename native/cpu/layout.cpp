#include "layout.h"

#include <string>

namespace relic {

Status Layout::bind(const BatchView& batch, const ProteinLengths& store) {
  if (batch.pairs <= 0) {
    return Status::failure("RELIC_BATCH_INVALID",
                           "batch: expected at least one pair, and as many proteins on each side as labels, received "
                           "0 A, 0 B, 0 labels");
  }
  proteins.assign(batch.proteinA, batch.proteinA + batch.pairs);
  proteins.insert(proteins.end(), batch.proteinB, batch.proteinB + batch.pairs);
  if (const Status status = measure(batch.pairs, store); !status.ok()) return status;

  pairs = batch.pairs;
  const auto a = [&](int64_t i) { return offsets[static_cast<size_t>(i)]; };
  const auto b = [&](int64_t i) { return offsets[static_cast<size_t>(pairs + i)]; };
  const auto ownB = [&](int64_t i) { return b(i) - static_cast<int32_t>(tokensA); };
  auto& [self, aToB, bToA, pairToBoth] = segments;
  for (auto* each : {&aToB, &bToA, &pairToBoth}) each->clear();
  for (int64_t i = 0; i < pairs; i++) {
    const auto row = static_cast<int32_t>(i);
    aToB.push_back({a(i), a(i + 1), ownB(i), ownB(i + 1), 0, 0});
    bToA.push_back({ownB(i), ownB(i + 1), a(i), a(i + 1), 0, 0});
    pairToBoth.push_back({row, row + 1, a(i), a(i + 1), b(i), b(i + 1)});
  }
  return Status::success();
}

Status Layout::bindSequences(const std::vector<int32_t>& sequences, const ProteinLengths& store) {
  proteins.assign(sequences.begin(), sequences.end());
  pairs = 0;
  for (auto& each : segments) each.clear();
  return measure(static_cast<int64_t>(sequences.size()), store);
}

Status Layout::measure(int64_t sideA, const ProteinLengths& store) {
  offsets.assign(1, 0);
  int64_t row = 0;
  for (const int32_t protein : proteins) {
    if (protein < 0 || protein >= store.count()) {
      return Status::failure("RELIC_BATCH_INVALID", "batch: expected protein indices below " +
                                                        std::to_string(store.count()) + ", received " +
                                                        std::to_string(protein));
    }
    row += store.length(protein);
    if (row > INT32_MAX) {
      return Status::failure("RELIC_BATCH_INVALID",
                             "batch: expected fewer than 2^31 residues, received more\n  fix: a smaller batch_size");
    }
    offsets.push_back(static_cast<int32_t>(row));
  }
  tokens = row;
  tokensA = offsets[static_cast<size_t>(sideA)];
  tokensB = tokens - tokensA;
  std::vector<Segment>& self = segments[static_cast<int>(SegmentKind::self)];
  self.clear();
  for (size_t i = 0; i + 1 < offsets.size(); i++) {
    self.push_back({offsets[i], offsets[i + 1], offsets[i], offsets[i + 1], 0, 0});
  }
  return Status::success();
}

}  // namespace relic
