/** Every embedding source by its config name. A new source is one file in this folder and one line here. */
import { RelicError } from '../../errors.ts';
import { CacheSource } from './cache.ts';
import { SequenceSource } from './sequence.ts';
import type { EmbeddingSource, SourceOptions } from './source.ts';
import { StoreSource } from './store.ts';
import { SyntheticSource } from './synthetic.ts';

export const EMBEDDING_SOURCES: Readonly<Record<string, (options: SourceOptions) => EmbeddingSource>> = {
  cache: ({ path, cacheDir, dim }) =>
    new CacheSource({ dir: given(path ?? cacheDir, 'cache', 'the folder with index.json'), dim }),
  sequence: ({ path, dim }) => new SequenceSource({ path: given(path, 'sequence', 'a FASTA file'), dim }),
  store: ({ path, dim }) => new StoreSource({ path: given(path, 'store', 'a packed .safetensors'), dim }),
  synthetic: ({ seed, maxLength, dim, perSplitEmbeddingSeeds }) =>
    new SyntheticSource({ seed, length: maxLength, dim, perSplit: perSplitEmbeddingSeeds }),
};

/**
 * Opens `data_config.embeddings.source`. Any other name than those above is the name of a language model in an older
 * config, such as `esm3`, and means the cache of that model. RELIC itself never read it and used synthetic embeddings,
 * which `legacySourceIsSynthetic` keeps.
 *
 * @throws RELIC_EMBEDDING_SOURCE when the source lacks its path or its files; whatever the source throws.
 */
export function openSource(name: string, options: SourceOptions, legacySourceIsSynthetic: boolean): EmbeddingSource {
  const known = Object.hasOwn(EMBEDDING_SOURCES, name) ? name : legacySourceIsSynthetic ? 'synthetic' : 'cache';
  return EMBEDDING_SOURCES[known](options);
}

function given(path: string | null, source: string, what: string): string {
  if (path !== null) return path;
  throw new RelicError('RELIC_EMBEDDING_SOURCE', `The embedding source ${source} needs a path`, {
    where: 'data_config.embeddings.path',
    expected: `the path of ${what}`,
    received: 'null',
    fix: `set it, or set data_config.embeddings.source to another of ${Object.keys(EMBEDDING_SOURCES).join(', ')}`,
  });
}
