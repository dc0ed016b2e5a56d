/** Turns the padded pairs of a golden vector file into a store and a batch. */
import type { Batch, EmbeddingStore } from '../../src/engine/engine.ts';
import type { GoldenTensor } from '../golden.ts';
import { memoryStore } from './engines.ts';

export interface GoldenBatches {
  readonly store: EmbeddingStore;
  readonly batches: readonly Batch[];
}

/** @param prefixes what stands before `emb_a`, `len_a`, ... of each batch: `in.`, or `in.0.`, `in.1.`, ... */
export function goldenBatches(tensors: Map<string, GoldenTensor>, prefixes: readonly string[]): GoldenBatches {
  const rows: Float32Array[] = [];
  let dim = 0;
  const batches = prefixes.map((prefix) => {
    const side = (name: 'a' | 'b') => {
      const { shape, data } = tensors.get(`${prefix}emb_${name}`)!;
      const lengths = tensors.get(`${prefix}len_${name}`)!.data as BigInt64Array;
      const [pairs, padded] = shape;
      dim = shape[2];
      return Int32Array.from({ length: pairs }, (_, i) => {
        const from = i * padded * dim;
        return rows.push((data as Float32Array).slice(from, from + Number(lengths[i]) * dim)) - 1;
      });
    };
    const [proteinA, proteinB] = [side('a'), side('b')];
    return {
      proteinA,
      proteinB,
      labels: Float32Array.from(
        (tensors.get(`${prefix}label`) as { data: Float32Array })?.data ?? new Float32Array(proteinA.length),
      ),
    };
  });
  return { store: memoryStore(dim, rows), batches };
}
