/** Where the rows of a batch lie in its ragged buffers. */
import { RelicError } from '../errors.ts';
import type { Rows, Segments } from '../model/program.ts';
import type { Batch } from './engine.ts';

export interface Layout {
  readonly pairs: number;
  readonly tokensA: number;
  readonly tokensB: number;
  readonly tokens: number;
  /** (2 pairs + 1): first token row of each sequence, A sequences before B sequences. */
  readonly offsets: Int32Array;
}

/** @throws RelicError RELIC_BATCH_INVALID for an empty batch, unequal columns, or an index outside the store */
export function layoutOf(batch: Batch, lengths: Int32Array): Layout {
  const { proteinA, proteinB, labels } = batch;
  const pairs = labels.length;
  if (pairs === 0 || proteinA.length !== pairs || proteinB.length !== pairs) {
    throw new RelicError('RELIC_BATCH_INVALID', 'batch', {
      expected: 'at least one pair, and as many proteins on each side as labels',
      received: `${proteinA.length} A, ${proteinB.length} B, ${pairs} labels`,
    });
  }
  return layoutOfSequences([proteinA, proteinB], lengths);
}

/** The layout of A sequences followed by B sequences, given by store index. */
export function layoutOfSequences(sides: readonly [Int32Array, Int32Array], lengths: Int32Array): Layout {
  const [a, b] = sides;
  const offsets = new Int32Array(a.length + b.length + 1);
  let sequence = 0;
  for (const side of sides) {
    for (const index of side) {
      if (index < 0 || index >= lengths.length) {
        throw new RelicError('RELIC_BATCH_INVALID', 'batch', {
          expected: `protein indices below ${lengths.length}`,
          received: String(index),
        });
      }
      offsets[sequence + 1] = offsets[sequence] + lengths[index];
      sequence++;
    }
  }
  const tokens = offsets[sequence];
  const tokensA = offsets[a.length];
  return { pairs: a.length, tokensA, tokensB: tokens - tokensA, tokens, offsets };
}

export function rowCount(rows: Rows, layout: Layout): number {
  return typeof rows === 'number' ? rows : layout[rows];
}

/** A half-open range of rows. */
export interface RowRange {
  readonly from: number;
  readonly to: number;
}

/** One group of query rows and the key rows all of them see, in order. */
export interface Segment {
  readonly queries: RowRange;
  readonly keys: readonly RowRange[];
}

/** The segments of an attention, with rows counted in its own query and key tensors. */
export function segmentsOf(kind: Segments, layout: Layout): Segment[] {
  const { pairs, offsets, tokensA } = layout;
  const a = (i: number): RowRange => ({ from: offsets[i], to: offsets[i + 1] });
  const b = (i: number): RowRange => ({ from: offsets[pairs + i], to: offsets[pairs + i + 1] });
  const ownB = (i: number): RowRange => ({ from: b(i).from - tokensA, to: b(i).to - tokensA });
  const segments: Segment[] = [];
  if (kind === 'self') {
    for (let i = 0; i + 1 < offsets.length; i++) segments.push({ queries: a(i), keys: [a(i)] });
    return segments;
  }
  for (let i = 0; i < pairs; i++) {
    if (kind === 'aToB') segments.push({ queries: a(i), keys: [ownB(i)] });
    else if (kind === 'bToA') segments.push({ queries: ownB(i), keys: [a(i)] });
    else segments.push({ queries: { from: i, to: i + 1 }, keys: [a(i), b(i)] });
  }
  return segments;
}
