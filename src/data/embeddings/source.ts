/** What every embedding source is: protein ids to `[L, dim]` matrices of per-residue features. */

import type { SplitName } from '../splits.ts';

/** Per-residue embeddings by id. Sources are read once, to be packed; training reads the packed store. */
export interface EmbeddingSource {
  /** Its name in the registry. */
  readonly name: string;
  /** Features per residue. */
  readonly dim: number;
  /** A hash of all that decides the values (recipe and seed, or the identity of the files): equal means equal values. */
  readonly fingerprint: string;
  has(id: string): boolean;
  /** Residues of `id`. */
  length(id: string): number;
  /** `[length(id), dim]`, row-major. */
  rows(id: string): Float32Array;
  /** One line for the log. */
  describe(): string;
  /** The id of `protein` in `split`, where it is not the protein's own name. */
  entry?(protein: string, split: SplitName): string;
}

/** What a source may need to open; each takes what it uses. */
export interface SourceOptions {
  /** `data_config.embeddings.path`: the FASTA file, the cache's folder or the store. */
  readonly path: string | null;
  /** `data_config.embeddings.cache_dir`: the cache's folder where `path` is null. */
  readonly cacheDir: string | null;
  /** `model_config.input_dim`. */
  readonly dim: number;
  /** `data_config.max_sequence_length`: what a synthetic protein is long. */
  readonly maxLength: number;
  /** `run_config.seed`. */
  readonly seed: number;
  /** The compat switch by which synthetic embeddings differ from split to split (contract 1.5). */
  readonly perSplitEmbeddingSeeds: boolean;
}
