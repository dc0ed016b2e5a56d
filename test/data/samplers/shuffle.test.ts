import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { shuffle } from '../../../src/data/samplers/shuffle.ts';
import { initialise } from '../../../src/random/initialisers.ts';
import { TorchGenerator } from '../../../src/random/torch-generator.ts';
import { goldenVectors } from '../../golden.ts';

const { tensors, case: rng } = goldenVectors<{ seeds: number[] }>('rng');
const test = suite('shuffle');

for (const seed of rng.seeds) {
  test(`seed ${seed}: three epochs equal DataLoader(shuffle=True) after the same draws`, () => {
    const generator = new TorchGenerator(seed);
    // What the vectors drew before the loader: a Linear(24, 10), a [30, 10] matrix and three numbers.
    initialise({ kind: 'uniform', bound: 1 }, [240 + 10 + 300 + 3], generator);
    const sampler = shuffle({ length: 10, generator, seed: 0, rank: 0, worldSize: 1 });
    const epochs = [0, 1, 2].flatMap((epoch) => [...sampler.order(epoch)]);
    assert.equal(epochs, Array.from(tensors.get(`${seed}.loader_epochs`)!.data, Number));
  });
}

test.run();
