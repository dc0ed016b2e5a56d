/** Random embeddings that a protein's name decides: RELIC's stand-in for a language model (contract 1.5). */
import { createHash } from 'node:crypto';
import { TorchGenerator } from '../../random/torch-generator.ts';
import { SPLITS, type SplitName } from '../splits.ts';
import type { EmbeddingSource } from './source.ts';

export interface SyntheticOptions {
  readonly seed: number;
  /** Residues of every protein. */
  readonly length: number;
  readonly dim: number;
  /**
   * RELIC's rule: train, valid and test embed with seed, seed + 1 and seed + 2, so a protein has three unrelated
   * embeddings. Ids then carry their seed, `"48:P12345"`; see {@link SyntheticSource.entry}. Default false.
   */
  readonly perSplit?: boolean;
}

/** Standard normals of a generator seeded with the first 32 bits of sha256("{seed}:{protein}"). */
export class SyntheticSource implements EmbeddingSource {
  readonly name = 'synthetic';
  readonly dim: number;
  readonly fingerprint: string;
  private readonly seed: number;
  private readonly residues: number;
  private readonly perSplit: boolean;

  constructor({ seed, length, dim, perSplit = false }: SyntheticOptions) {
    this.dim = dim;
    this.seed = seed;
    this.residues = length;
    this.perSplit = perSplit;
    // With a split's seed in each id the ids alone decide the values.
    this.fingerprint = `synthetic-v1:${perSplit ? 'per-split' : seed}:${length}x${dim}`;
  }

  entry(protein: string, split: SplitName): string {
    return this.perSplit ? `${this.seed + SPLITS.indexOf(split)}:${protein}` : protein;
  }

  has(): boolean {
    return true;
  }

  length(): number {
    return this.residues;
  }

  rows(id: string): Float32Array {
    const key = this.perSplit ? id : `${this.seed}:${id}`;
    const digest = createHash('sha256').update(key, 'utf8').digest();
    const rows = new Float32Array(this.residues * this.dim);
    new TorchGenerator(digest.readUInt32BE(0)).normal(rows);
    return rows;
  }

  describe(): string {
    const seeds = this.perSplit
      ? `seeds ${this.seed}, ${this.seed + 1}, ${this.seed + 2} by split`
      : `seed ${this.seed}`;
    return `synthetic: random [${this.residues}, ${this.dim}] of each protein's name, ${seeds}`;
  }
}
