import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { initialise } from '../../src/random/initialisers.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { assertThrowsCode } from '../assert.ts';
import { goldenVectors } from '../golden.ts';

const { tensors, case: rng } = goldenVectors<{ seeds: number[] }>('rng');
const golden = (name: string) => tensors.get(name)!.data;

const test = suite('initialise');

for (const seed of rng.seeds) {
  test(`seed ${seed}: nn.Linear, then xavier_uniform_, equal torch's`, () => {
    const generator = new TorchGenerator(seed);
    const weight = initialise({ kind: 'kaimingUniform', a: Math.sqrt(5) }, [10, 24], generator);
    const bias = initialise({ kind: 'uniform', bound: 1 / Math.sqrt(24) }, [10], generator);
    const xavier = initialise({ kind: 'xavierUniform' }, [30, 10], generator);
    assert.equal(weight, golden(`${seed}.linear.weight`));
    assert.equal(bias, golden(`${seed}.linear.bias`));
    assert.equal(xavier, golden(`${seed}.xavier`));
    const rest = new Float32Array(3);
    generator.uniform(rest);
    assert.equal(rest, golden(`${seed}.after`));
  });

  test(`seed ${seed}: a normal parameter equals torch's`, () => {
    const values = initialise({ kind: 'normal', mean: 0, std: 1 }, [1, 10, 10], new TorchGenerator(seed));
    assert.equal(values, golden(`${seed}.randn.100`));
  });
}

test('a constant draws nothing', () => {
  const generator = new TorchGenerator(1);
  assert.equal(initialise({ kind: 'constant', value: 1 }, [2, 2], generator), Float32Array.of(1, 1, 1, 1));
  assert.is(generator.random32(), new TorchGenerator(1).random32());
});

test('a vector has no inputs and outputs', () => {
  const vector = () => initialise({ kind: 'xavierUniform' }, [30], new TorchGenerator(1));
  assertThrowsCode(vector, 'RELIC_PROGRAM_INVALID', /xavierUniform.*\[outputs, inputs\].*\[30\]/);
});

test.run();
