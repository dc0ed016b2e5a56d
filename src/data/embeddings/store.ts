/** An existing packed store as a source: `relic-train pack` made it, and it is used as it is. */
import { RelicError, shown } from '../../errors.ts';
import { PackedStore } from '../store.ts';
import type { EmbeddingSource } from './source.ts';

export class StoreSource implements EmbeddingSource {
  readonly name = 'store';
  readonly dim: number;
  readonly fingerprint: string;
  /** The file, which needs no packing. */
  readonly path: string;
  private readonly store: PackedStore;

  /** @throws RELIC_STORE_INVALID as PackedStore.open; RELIC_EMBEDDING_INVALID when its width is another than `dim`. */
  constructor({ path, dim }: { readonly path: string; readonly dim: number }) {
    this.store = PackedStore.open(path, { maxLength: Number.MAX_SAFE_INTEGER });
    this.path = path;
    this.dim = this.store.dim;
    this.fingerprint = this.store.identity.fingerprint;
    if (this.dim === dim) return;
    this.store.close();
    throw new RelicError('RELIC_EMBEDDING_INVALID', 'The store has another width than the model takes', {
      where: path,
      expected: `${dim} (model_config.input_dim)`,
      received: `${this.dim}`,
      fix: 'set model_config.input_dim to the width of the store',
    });
  }

  has(id: string): boolean {
    return this.store.indexOf(id) >= 0;
  }

  length(id: string): number {
    return this.store.residues(this.indexOf(id));
  }

  rows(id: string): Float32Array {
    const index = this.indexOf(id);
    const rows = new Float32Array(this.store.residues(index) * this.dim);
    this.store.read(index, rows, 0);
    return rows;
  }

  describe(): string {
    const { source } = this.store.identity;
    return `store: ${this.store.count} proteins packed from ${source}, width ${this.dim}, in ${this.path}`;
  }

  private indexOf(id: string): number {
    const index = this.store.indexOf(id);
    if (index >= 0) return index;
    throw new RelicError('RELIC_EMBEDDING_MISSING', `No embedding of protein ${shown(id)}`, {
      where: this.path,
      fix: 'pack a store that has it, or take its pairs out',
    });
  }
}
