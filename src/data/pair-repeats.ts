/** What a pair file says more than once: self pairs, duplicates and contradictions. Reported, never removed. */

/** An unordered pair seen more than once, and two of the lines it stands on. */
export interface RepeatedPair {
  readonly a: string;
  readonly b: string;
  /** Source lines: the earlier record, then the later one. */
  readonly lines: readonly [number, number];
}

/** Counts are of everything; `first` names the first few in file order. */
export interface PairRepeats {
  /** Records that pair a protein with itself. */
  readonly selfPairs: number;
  /** Records whose unordered pair stood before with the same label. */
  readonly duplicates: { readonly count: number; readonly first: readonly RepeatedPair[] };
  /** Unordered pairs that stand with both labels. */
  readonly conflicts: { readonly count: number; readonly first: readonly RepeatedPair[] };
}

/** The columns of a pair file, as in `PairFile`. */
export interface PairColumns {
  readonly proteins: readonly string[];
  readonly a: Int32Array;
  readonly b: Int32Array;
  readonly labels: Uint8Array;
  readonly lines: Int32Array;
}

/** @param listed how many duplicates and conflicts to name. */
export function pairRepeats(pairs: PairColumns, listed: number): PairRepeats {
  const { a, b, labels, lines, proteins } = pairs;
  /** Unordered pair and label -> the first record that has them. */
  const seen = new Map<number, number>();
  const duplicates: RepeatedPair[] = [];
  const conflicts: RepeatedPair[] = [];
  let selfPairs = 0;
  let duplicateCount = 0;
  let conflictCount = 0;
  const repeated = (earlier: number, later: number): RepeatedPair => ({
    a: proteins[a[earlier]],
    b: proteins[b[earlier]],
    lines: [lines[earlier], lines[later]],
  });
  for (let r = 0; r < labels.length; r++) {
    if (a[r] === b[r]) selfPairs++;
    const pair = unorderedPairKey(a[r], b[r], proteins.length) * 2;
    const same = seen.get(pair + labels[r]);
    if (same !== undefined) {
      duplicateCount++;
      if (duplicates.length < listed) duplicates.push(repeated(same, r));
      continue;
    }
    seen.set(pair + labels[r], r);
    const opposite = seen.get(pair + 1 - labels[r]);
    if (opposite === undefined) continue;
    conflictCount++;
    if (conflicts.length < listed) conflicts.push(repeated(opposite, r));
  }
  return {
    selfPairs,
    duplicates: { count: duplicateCount, first: duplicates },
    conflicts: { count: conflictCount, first: conflicts },
  };
}

/** One number for {i, j} among `n` proteins, the same for {j, i}; exact while n < 2^26. */
export function unorderedPairKey(i: number, j: number, n: number): number {
  return Math.min(i, j) * n + Math.max(i, j);
}
