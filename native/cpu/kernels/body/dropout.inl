// Dropout masks: Philox4x32-7, one counter a 64-bit lane, whose low half holds the word and whose high half is ignored.

RELIC_INLINE void philoxRounds(VecWide (&word)[4], const MaskKey& mask) {
  uint32_t key0 = mask.key[0], key1 = mask.key[1];
#pragma GCC unroll 7
  for (int round = 0; round < 7; round++) {
    const VecWide product0 = multiplyLow(word[0], static_cast<uint64_t>(0xd2511f53u) - VecWide{});
    const VecWide product1 = multiplyLow(word[2], static_cast<uint64_t>(0xcd9e8d57u) - VecWide{});
    word[0] = (product1 >> 32) ^ word[1] ^ (static_cast<uint64_t>(key0) - VecWide{});
    word[2] = (product0 >> 32) ^ word[3] ^ (static_cast<uint64_t>(key1) - VecWide{});
    word[1] = product1;
    word[3] = product0;
    key0 += 0x9e3779b9u;
    key1 += 0xbb67ae85u;
  }
}

static void draw(const MaskKey& mask, uint32_t row, uint32_t rowStep, int64_t rows, int64_t block, int64_t blocks,
                 uint16_t* draws) {
  if (blocks <= 0) return;
  const VecWide first = static_cast<uint64_t>(block) - VecWide{};
  // The counters of the next kWideLanes blocks, which may lie in several rows.
  VecWide rowOf, blockOf;
  for (int lane = 0; lane < kWideLanes; lane++) {
    rowOf[lane] = static_cast<uint32_t>(row + rowStep * static_cast<uint32_t>(lane / blocks));
    blockOf[lane] = static_cast<uint64_t>(lane % blocks);
  }
  const VecWide perRow = static_cast<uint64_t>(blocks) - VecWide{};
  const VecWide step = static_cast<uint64_t>(rowStep) - VecWide{};
  const VecWide low = static_cast<uint64_t>(0xffffffffu) - VecWide{};
  const int64_t total = rows * blocks;
  for (int64_t i = 0; i < total; i += kWideLanes, draws += 8 * kWideLanes) {
    VecWide word[4] = {rowOf, first + blockOf, static_cast<uint64_t>(mask.site) - VecWide{},
                       static_cast<uint64_t>(mask.step) - VecWide{}};
    philoxRounds(word, mask);
    const VecWide even = (word[0] & low) | (word[1] << 32), odd = (word[2] & low) | (word[3] << 32);
    *reinterpret_cast<VecWideInMemory*>(draws) = zipLow(even, odd);
    *reinterpret_cast<VecWideInMemory*>(draws + 4 * kWideLanes) = zipHigh(even, odd);

    blockOf += static_cast<uint64_t>(kWideLanes) - VecWide{};
    for (int64_t passed = 0; passed < kWideLanes; passed += blocks) {
      const VecWide over = reinterpret_cast<VecWide>(blockOf >= perRow);
      blockOf -= over & perRow;
      rowOf += over & step;
    }
  }
}

// The draws of kLanes neighbouring columns, widened.
RELIC_INLINE VecInt loadDraws(const uint16_t* draws) {
  return __builtin_convertvector(*reinterpret_cast<const VecHalfInMemory*>(draws), VecInt);
}

static void applyMask(int64_t count, const uint16_t* draws, uint32_t threshold, float scale, const float* x, float* y,
                      bool accumulate) {
  const VecInt limit = allInt(static_cast<int32_t>(threshold));
  eachVector(count, RELIC_BODY {
    const Vec factor = loadDraws(draws + i) >= limit ? all(scale) : Vec{};
    putOrAdd(y + i, factor * get(x + i, n), n, accumulate);
  });
}
