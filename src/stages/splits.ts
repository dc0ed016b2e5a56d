/** The pair files of a config, and the embeddings of their proteins. */
import { existsSync } from 'node:fs';
import { normalize } from 'node:path';
import type { LoadedConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { limitPairs } from '../data/limit-pairs.ts';
import { type OpenEmbeddings, openEmbeddings } from '../data/open-embeddings.ts';
import { type PairFile, parsePairs, readPairs } from '../data/pairs.ts';
import type { PairFiles } from '../data/splits.ts';
import { RelicError } from '../errors.ts';

const NOTHING: ReadonlyMap<string, string> = new Map();

/**
 * The three splits, capped as the config says.
 *
 * @param unwritten texts by path that stand for files which do not exist yet.
 * @throws RELIC_PAIRS_NOT_FOUND also for a missing benchmark root, RELIC_PAIRS_EMPTY, RELIC_PAIRS_INVALID.
 */
export function readSplits(config: Config, unwritten = NOTHING): PairFiles {
  const { benchmark, dataloader } = config.data_config;
  if (benchmark.root_dir !== '' && !existsSync(benchmark.root_dir) && unwritten.size === 0) {
    throw new RelicError('RELIC_PAIRS_NOT_FOUND', `Benchmark root does not exist: ${benchmark.root_dir}`, {
      where: 'data_config.benchmark.root_dir',
      expected: 'an existing directory, relative to the working directory or absolute',
      fix: 'correct the path, or start in the directory it is relative to',
    });
  }
  const texts = new Map(Array.from(unwritten, ([path, text]) => [normalize(path), text]));
  const read = (path: string): PairFile => {
    const text = texts.get(normalize(path));
    const file = text === undefined ? readPairs(path) : parsePairs(text, path);
    const { max_samples_per_split: most, subset } = dataloader;
    return most === null ? file : limitPairs(file, most, subset, config.run_config.seed);
  };
  return {
    train: read(dataloader.train_dataset),
    valid: read(dataloader.valid_dataset),
    test: read(dataloader.test_dataset),
  };
}

/** The embeddings that the splits need. Throws as openEmbeddings does. */
export function openConfigEmbeddings({ config, compat }: LoadedConfig, files: PairFiles): OpenEmbeddings {
  const { embeddings, max_sequence_length: maxLength } = config.data_config;
  return openEmbeddings(
    {
      source: embeddings.source,
      path: embeddings.path,
      cacheDir: embeddings.cache_dir,
      storeDir: embeddings.store_dir,
      dtype: embeddings.dtype,
      dim: config.model_config.input_dim,
      maxLength,
      seed: config.run_config.seed,
      perSplitEmbeddingSeeds: compat.perSplitEmbeddingSeeds,
      legacySourceIsSynthetic: compat.legacySourceIsSynthetic,
    },
    files,
  );
}
