// Square blocks of words.

// kLanes x kLanes in place. Each round doubles the runs that are in order.
RELIC_INLINE void transpose(Vec (&v)[kLanes]) {
#pragma GCC unroll 4
  for (int round = 1; round < kLanes; round *= 2) {
    Vec next[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes / 2; i++) {
      next[2 * i] = zipLow(v[i], v[i + kLanes / 2]);
      next[2 * i + 1] = zipHigh(v[i], v[i + kLanes / 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; i++) v[i] = next[i];
  }
}
