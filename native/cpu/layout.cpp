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
  cut_ = false;
  connect();
  return Status::success();
}

// The segments between the sequences of each pair.
void Layout::connect() {
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
}

const RowMap* Layout::map(int32_t rows) const {
  return cut_ && rows < 0 ? &maps_[static_cast<size_t>(-1 - rows)] : nullptr;
}

void Layout::keepPairs(const std::vector<int32_t>& kept) {
  const auto count = static_cast<size_t>(pairs);
  offsets.swap(fullOffsets_);
  proteins.swap(fullProteins_);
  for (RowMap* each : {&maps_[0], &maps_[1], &maps_[2], &maps_[3], &sequenceMap_}) {
    each->from.clear();
    each->original.clear();
  }
  const std::vector<int32_t>&before = fullOffsets_, &all = fullProteins_;
  auto& [ofTokens, ofA, ofB, ofPairs] = maps_;
  offsets.assign(1, 0);
  proteins.clear();
  const auto run = [](RowMap& map, int32_t from, int32_t original) {
    map.from.push_back(from);
    map.original.push_back(original);
  };
  const auto sides = {size_t{0}, count};
  for (const size_t side : sides) {
    RowMap& own = side == 0 ? ofA : ofB;
    const int32_t first = offsets.back();
    for (const int32_t pair : kept) {
      const size_t sequence = side + static_cast<size_t>(pair);
      run(ofTokens, offsets.back(), before[sequence]);
      run(own, offsets.back() - first, before[sequence] - before[side]);
      run(sequenceMap_, static_cast<int32_t>(proteins.size()), static_cast<int32_t>(sequence));
      proteins.push_back(all[sequence]);
      offsets.push_back(offsets.back() + before[sequence + 1] - before[sequence]);
    }
    own.from.push_back(offsets.back() - first);
  }
  ofTokens.from.push_back(offsets.back());
  for (size_t i = 0; i < kept.size(); i++) run(ofPairs, static_cast<int32_t>(i), kept[i]);
  pairs = static_cast<int64_t>(kept.size());
  ofPairs.from.push_back(static_cast<int32_t>(pairs));
  cut_ = true;
  measureSides(pairs);
  connect();
  for (int kind = 0; kind < 4; kind++) {
    // The rows of the queries: those of tokens, tokensA, tokensB, pairs.
    const RowMap& map = maps_[kind];
    for (size_t i = 0; i < segments[kind].size(); i++) segments[kind][i].maskShift = map.original[i] - map.from[i];
  }
}

Status Layout::bindSequences(const std::vector<int32_t>& sequences, const ProteinLengths& store) {
  proteins.assign(sequences.begin(), sequences.end());
  pairs = 0;
  cut_ = false;
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
  measureSides(sideA);
  return Status::success();
}

void Layout::measureSides(int64_t sideA) {
  tokens = offsets.back();
  tokensA = offsets[static_cast<size_t>(sideA)];
  tokensB = tokens - tokensA;
  std::vector<Segment>& self = segments[static_cast<int>(SegmentKind::self)];
  self.clear();
  for (size_t i = 0; i + 1 < offsets.size(); i++) {
    self.push_back({offsets[i], offsets[i + 1], offsets[i], offsets[i + 1], 0, 0});
  }
}

}  // namespace relic
