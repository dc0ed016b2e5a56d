/** The one check of embedding values, before they reach a model. */
import { RelicError, shown } from '../errors.ts';
import type { StoreDtype } from './store-format.ts';

/** The least magnitude that rounds to infinity: every accepted value is below it. */
const OVERFLOW: Record<StoreDtype, number> = {
  float32: Number.POSITIVE_INFINITY,
  float16: (2 - 2 ** -11) * 2 ** 15,
  bfloat16: (2 - 2 ** -8) * 2 ** 127,
};

/** The rows under test and what an error calls them. */
export interface CheckedRows {
  readonly protein: string;
  /** `[L, dim]`, row-major. */
  readonly rows: Float32Array;
  readonly dim: number;
  /** The number format the rows are to be kept in; float32 when absent. */
  readonly dtype?: StoreDtype;
  /** The file, or the source's name. */
  readonly where: string;
}

/** @throws RELIC_EMBEDDING_INVALID naming protein, row and column of the first value that is not a finite `dtype`. */
export function checkFinite({ protein, rows, dim, dtype = 'float32', where }: CheckedRows): void {
  const overflow = OVERFLOW[dtype];
  for (let i = 0; i < rows.length; i++) {
    // Written so that NaN fails too.
    if (Math.abs(rows[i]) < overflow) continue;
    const finite = Number.isFinite(rows[i]);
    throw new RelicError('RELIC_EMBEDDING_INVALID', `Embedding of protein ${shown(protein)} has a bad value`, {
      where,
      expected: finite ? `values that ${dtype} can hold` : 'finite numbers',
      received: `${rows[i]} in row ${Math.floor(i / dim)}, column ${i % dim} (counted from 0)`,
      fix: finite ? 'set data_config.embeddings.dtype to bfloat16 or float32' : 'compute this embedding again',
    });
  }
}
