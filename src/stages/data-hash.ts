/** What a run trains and evaluates on, in one hash: a run is not continued on other data. */
import { createHash } from 'node:crypto';
import type { Dataset } from '../data/dataset.ts';
import { SPLITS } from '../data/splits.ts';
import type { PackedStore } from '../data/store.ts';

/** SHA-256, in hex, of the pairs of all splits in their order, and of the embeddings' ids, lengths and origin. */
export function dataHash(dataset: Dataset, store: Pick<PackedStore, 'ids' | 'lengths' | 'identity'>): string {
  const hash = createHash('sha256');
  for (const name of SPLITS) {
    const { a, b, labels } = dataset[name];
    for (const column of [a, b, labels]) hash.update(`${name} ${column.length}\n`).update(column);
  }
  return hash.update(JSON.stringify([store.ids, [...store.lengths], store.identity])).digest('hex');
}
