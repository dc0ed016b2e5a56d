/** Protein lengths in a few numbers. */

/** Residues a bin spans. */
const BIN = 100;

export interface LengthSummary {
  readonly proteins: number;
  /** Residues; zeros when there is no protein. */
  readonly min: number;
  readonly mean: number;
  readonly max: number;
  /** `counts[i]` proteins have a length from `i * binWidth` up to, not including, `(i + 1) * binWidth`. */
  readonly binWidth: number;
  readonly counts: readonly number[];
  /** Proteins longer than `maxLength`, whose further residues are not used. */
  readonly truncated: number;
  readonly maxLength: number;
}

/** @param lengths residues of each protein before truncation. */
export function summariseLengths(lengths: ArrayLike<number>, maxLength: number): LengthSummary {
  let [min, max, sum, truncated] = [Number.POSITIVE_INFINITY, 0, 0, 0];
  const counts: number[] = [];
  for (let i = 0; i < lengths.length; i++) {
    const length = lengths[i];
    min = Math.min(min, length);
    max = Math.max(max, length);
    sum += length;
    if (length > maxLength) truncated++;
    const bin = Math.floor(length / BIN);
    while (counts.length <= bin) counts.push(0);
    counts[bin]++;
  }
  const proteins = lengths.length;
  return {
    proteins,
    min: proteins === 0 ? 0 : min,
    mean: proteins === 0 ? 0 : sum / proteins,
    max,
    binWidth: BIN,
    counts,
    truncated,
    maxLength,
  };
}
