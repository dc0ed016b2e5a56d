// Where the rows of a batch lie in its ragged buffers: the twin of src/engine/layout.ts.
#pragma once

#include <cstdint>
#include <vector>

#include "model.h"
#include "ops.h"
#include "relic/program.h"
#include "relic/status.h"

namespace relic {

struct Layout {
  int64_t pairs = 0;
  int64_t tokensA = 0, tokensB = 0, tokens = 0;
  // Store index of each sequence, A sequences before B sequences.
  std::vector<int32_t> proteins;
  // (sequences + 1): first token row of each sequence.
  std::vector<int32_t> offsets;
  // By SegmentKind, each filled when the batch is bound.
  std::vector<Segment> segments[4];

  int64_t sequences() const { return static_cast<int64_t>(proteins.size()); }

  // A row count, or a symbolic one of relic/program.h, in this batch.
  int64_t rows(int32_t rows) const {
    switch (rows) {
      case kTokens:
        return tokens;
      case kTokensA:
        return tokensA;
      case kTokensB:
        return tokensB;
      case kPairs:
        return pairs;
      default:
        return rows;
    }
  }

  // RELIC_BATCH_INVALID for an empty batch or an index outside the store.
  Status bind(const BatchView& batch, const ProteinLengths& store);
  // Cuts the batch down to some of its pairs, ascending; masks go on numbering rows as before.
  void keepPairs(const std::vector<int32_t>& kept);
  // Null for the batch as it was bound.
  const RowMap* map(int32_t rows) const;
  const RowMap* sequenceMap() const { return cut_ ? &sequenceMap_ : nullptr; }

  // Sequences without pairs, all on the A side.
  Status bindSequences(const std::vector<int32_t>& sequences, const ProteinLengths& store);

 private:
  Status measure(int64_t sideA, const ProteinLengths& store);
  void measureSides(int64_t sideA);
  void connect();

  // Whether keepPairs was called since the batch was bound.
  bool cut_ = false;
  // The batch before keepPairs, whose memory is used again.
  std::vector<int32_t> fullOffsets_, fullProteins_;
  // By -1 - Rows: of tokens, tokensA, tokensB and pairs.
  RowMap maps_[4];
  RowMap sequenceMap_;
};

}  // namespace relic
