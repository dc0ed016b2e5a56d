/** From the config's embedding section to a source, the proteins needed of it, and the packed store to read. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { StoreDtype } from '../artifacts/store-format.ts';
import { type EntryOf, requireEmbeddings } from './dataset.ts';
import { openSource } from './embeddings/registry.ts';
import type { EmbeddingSource, SourceOptions } from './embeddings/source.ts';
import { StoreSource } from './embeddings/store.ts';
import { type PairFiles, SPLITS } from './splits.ts';

export interface EmbeddingOptions extends SourceOptions {
  /** `data_config.embeddings.source`. */
  readonly source: string;
  /** `data_config.embeddings.store_dir`. */
  readonly storeDir: string;
  /** `data_config.embeddings.dtype`. */
  readonly dtype: StoreDtype;
  /** The compat switch by which a source such as `esm3` is not read. */
  readonly legacySourceIsSynthetic: boolean;
}

export interface OpenEmbeddings {
  readonly source: EmbeddingSource;
  /** The id under which a protein of a split is embedded. */
  readonly entryOf: EntryOf;
  /** Every id that the splits use, once, in code unit order: the order of the packed store. */
  readonly neededIds: readonly string[];
  /** The packed store to open. */
  readonly storePath: string;
  /** False when `storePath` must be packed first. */
  readonly ready: boolean;
}

/**
 * The store's name tells everything its content depends on: source, fingerprint, number format and ids. So a store
 * that exists is the right one.
 *
 * @throws RELIC_EMBEDDING_MISSING naming proteins that the source lacks; whatever opening the source throws.
 */
export function openEmbeddings(options: EmbeddingOptions, files: PairFiles): OpenEmbeddings {
  const source = openSource(options.source, options, options.legacySourceIsSynthetic);
  const entryOf: EntryOf = (protein, split) => source.entry?.(protein, split) ?? protein;
  requireEmbeddings(files, (id) => source.has(id), entryOf);
  const needed = SPLITS.flatMap((split) => files[split].proteins.map((protein) => entryOf(protein, split)));
  const neededIds = [...new Set(needed)].sort();
  if (source instanceof StoreSource) return { source, entryOf, neededIds, storePath: source.path, ready: true };

  const digest = createHash('sha256')
    .update([source.fingerprint, options.dtype, ...neededIds].join('\n'))
    .digest('hex');
  const storePath = join(options.storeDir, `${source.name}-${digest.slice(0, 16)}.safetensors`);
  return { source, entryOf, neededIds, storePath, ready: existsSync(storePath) };
}
