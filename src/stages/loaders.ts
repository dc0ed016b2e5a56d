/** The three splits cut into batches, in the order in which the original's data loaders give them. */
import type { Config } from '../config/schema.ts';
import { balanceTokens } from '../data/balance.ts';
import { type Dataset, makeBatch, type Split } from '../data/dataset.ts';
import { batchesOf } from '../data/sampler.ts';
import { createSampler } from '../data/samplers/registry.ts';
import type { SplitName } from '../data/splits.ts';
import { ALONE, type Group } from '../distributed/group.ts';
import type { Batch } from '../engine/engine.ts';
import { RelicError } from '../errors.ts';
import type { TorchGenerator } from '../random/torch-generator.ts';
import type { TrainData } from '../train/trainer.ts';

/** Batches and pairs of each split; train batches are those of one rank. */
export type LoaderCounts = Readonly<Record<SplitName, { readonly batches: number; readonly samples: number }>>;

export interface Loaders {
  readonly counts: LoaderCounts;
  readonly train: TrainData;
  /** A new pass over the split, in file order. */
  evaluation(split: 'valid' | 'test'): Iterable<Batch>;
}

/**
 * How many batches the splits give. Only the train split may drop its last batch (contract 1.2).
 *
 * @throws RELIC_PAIRS_EMPTY when `drop_last` leaves nothing to train on.
 */
export function countBatches(
  samples: Readonly<Record<SplitName, number>>,
  config: Config,
  ranks: number,
): LoaderCounts {
  const { batch_size: batchSize } = config.training_config;
  const perRank = Math.ceil(samples.train / ranks);
  const round = config.data_config.dataloader.drop_last ? Math.floor : Math.ceil;
  const counts = {
    train: { batches: round(perRank / batchSize), samples: samples.train },
    valid: { batches: Math.ceil(samples.valid / batchSize), samples: samples.valid },
    test: { batches: Math.ceil(samples.test / batchSize), samples: samples.test },
  };
  if (counts.train.batches > 0) return counts;
  throw new RelicError('RELIC_PAIRS_EMPTY', 'drop_last leaves no batch to train on', {
    where: 'data_config.dataloader.drop_last',
    expected: `at least batch_size (${batchSize}) pairs a rank`,
    received: `${perRank}`,
    fix: 'set drop_last to false, or lower training_config.batch_size',
  });
}

/** What is known of the proteins of a store, by index. */
export interface Proteins {
  readonly ids: readonly string[];
  /** Residues in use. */
  readonly lengths: Int32Array;
}

/**
 * @param ranks data-parallel ranks: the processes of `group`, or those that one process simulates.
 * @param generator the run's global generator; every pass draws from it what a DataLoader would.
 */
export function createLoaders(
  dataset: Dataset,
  config: Config,
  ranks: number,
  generator: TorchGenerator,
  { ids, lengths }: Proteins,
  group: Group = ALONE,
): Loaders {
  const { batch_size: batchSize, balance_ranks: balance } = config.training_config;
  const dropLast = config.data_config.dataloader.drop_last;
  const { seed } = config.run_config;
  const samplerOf = (name: 'shuffle' | 'distributed' | 'sequential', split: Split, rank: number, worldSize: number) =>
    createSampler(name, { length: split.labels.length, generator, seed, rank, worldSize });

  const { train } = dataset;
  const tokens = (pair: number) => lengths[train.a[pair]] + lengths[train.b[pair]];
  const trainSamplers = Array.from({ length: ranks }, (_, rank) =>
    samplerOf(ranks > 1 ? 'distributed' : 'shuffle', train, rank, ranks),
  );
  const evaluationSamplers = {
    valid: samplerOf('sequential', dataset.valid, 0, 1),
    test: samplerOf('sequential', dataset.test, 0, 1),
  };
  const samples = {
    train: train.labels.length,
    valid: dataset.valid.labels.length,
    test: dataset.test.labels.length,
  };
  const counts = countBatches(samples, config, ranks);
  return {
    counts,
    train: {
      steps: counts.train.batches,
      generator,
      *epoch(epoch, firstStep = 0) {
        const shares = trainSamplers.map((sampler) => batchesOf(sampler.order(epoch), batchSize, dropLast));
        for (let step = firstStep; step < counts.train.batches; step++) {
          const dealt = shares.map((batches) => batches[step]);
          const even = balance === 'tokens' ? balanceTokens(dealt, tokens) : dealt;
          const own = group.size === 1 ? even : [even[group.rank]];
          yield own.map((pairs) => makeBatch(train, pairs));
        }
      },
      describePair: ({ proteinA, proteinB, labels }, index) =>
        `${ids[proteinA[index]]} and ${ids[proteinB[index]]}, label ${labels[index]}`,
    },
    *evaluation(split) {
      const order = evaluationSamplers[split].order(0);
      for (const positions of batchesOf(order, batchSize, false)) yield makeBatch(dataset[split], positions);
    },
  };
}
