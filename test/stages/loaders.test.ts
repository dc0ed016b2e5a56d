import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Config } from '../../src/config/schema.ts';
import type { Dataset, Split } from '../../src/data/dataset.ts';
import type { SplitName } from '../../src/data/splits.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { countBatches, createLoaders } from '../../src/stages/loaders.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('loaders');

/** Pair r is (r, r + 100); its label is r mod 2. */
function split(name: SplitName, pairs: number): Split {
  const a = Int32Array.from({ length: pairs }, (_, r) => r);
  return { name, path: name, a, b: a.map((r) => r + 100), labels: Float32Array.from(a, (r) => r % 2), lines: a };
}

const dataset: Dataset = { train: split('train', 10), valid: split('valid', 5), test: split('test', 4) };

/** Only what loaders read. */
const configOf = (batchSize: number, dropLast = false, seed = 0) =>
  ({
    run_config: { seed },
    data_config: { dataloader: { drop_last: dropLast } },
    training_config: { batch_size: batchSize },
  }) as Config;

const loadersOf = (config: Config, ranks = 1) =>
  createLoaders(dataset, config, ranks, new TorchGenerator(7), {
    ids: Array.from({ length: 200 }, (_, i) => `P${i}`),
    lengths: new Int32Array(200).fill(1),
  });

test('one rank sees every training pair once an epoch, in another order each time', () => {
  const { train, counts } = loadersOf(configOf(4));
  assert.is(train.steps, 3);
  assert.equal(counts.train, { batches: 3, samples: 10 });
  const epochs = [0, 1].map((epoch) => [...train.epoch(epoch)].flatMap(([batch]) => [...batch.proteinA]));
  assert.equal(
    [...epochs[0]].sort((x, y) => x - y),
    [...dataset.train.a],
  );
  assert.not.equal(epochs[0], epochs[1]);
  assert.equal(
    [...loadersOf(configOf(4)).train.epoch(0)].flatMap(([batch]) => [...batch.proteinA]),
    epochs[0],
    'the seed decides the order',
  );
});

test('ranks share the pairs; shares are filled up to equal length', () => {
  const { train } = loadersOf(configOf(2), 4);
  assert.is(train.steps, 2);
  const steps = [...train.epoch(0)];
  assert.equal(
    steps.map((batches) => batches.map(({ labels }) => labels.length)),
    [
      [2, 2, 2, 2],
      [1, 1, 1, 1],
    ],
  );
  const seen = steps.flatMap((batches) => batches.flatMap(({ proteinA }) => [...proteinA]));
  assert.is(new Set(seen).size, 10);
});

test('drop_last drops the last training batch and no other', () => {
  const { train, counts, evaluation } = loadersOf(configOf(4, true));
  assert.is(train.steps, 2);
  assert.is([...train.epoch(0)].length, 2);
  assert.is(counts.valid.batches, 2);
  assert.equal(
    Array.from(evaluation('valid'), ({ labels }) => labels.length),
    [4, 1],
  );
});

test('drop_last that leaves nothing is refused', () => {
  const samples = { train: 3, valid: 1, test: 1 };
  assertThrowsCode(() => countBatches(samples, configOf(4, true), 1), 'RELIC_PAIRS_EMPTY', /drop_last/);
  assert.is(countBatches(samples, configOf(4), 1).train.batches, 1);
});

test('evaluation is in file order, every time', () => {
  const { evaluation } = loadersOf(configOf(3));
  for (let pass = 0; pass < 2; pass++) {
    assert.equal(
      Array.from(evaluation('test'), ({ proteinB }) => [...proteinB]),
      [[100, 101, 102], [103]],
    );
  }
});

test('a validation draws from the global generator, as a data loader does', () => {
  const order = (validate: boolean) => {
    const { train, evaluation } = loadersOf(configOf(10));
    if (validate) Array.from(evaluation('valid'));
    return Array.from(train.epoch(0), ([batch]) => [...batch.proteinA]);
  };
  assert.not.equal(order(true), order(false));
});

test('a pair is named', () => {
  const { train } = loadersOf(configOf(4));
  const [[batch]] = train.epoch(0);
  const protein = batch.proteinA[1];
  assert.is(train.describePair(batch, 1), `P${protein} and P${protein + 100}, label ${protein % 2}`);
});

test.run();
