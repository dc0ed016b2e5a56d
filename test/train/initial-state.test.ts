import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ProgramBuilder } from '../../src/model/builder.ts';
import { buildV3, type V3Config } from '../../src/model/v3.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { initialState } from '../../src/train/initial-state.ts';
import { goldenDir, goldenVectors } from '../golden.ts';

const test = suite('initial state');

interface ModelCase {
  readonly model_config: V3Config;
  readonly seed: number;
}

const cases = readdirSync(join(goldenDir(), 'vectors'))
  .map((file) => file.replace('.safetensors', ''))
  .filter((name) => name.startsWith('v3_'));

for (const name of cases) {
  test(`${name}: the weights PyTorch draws from the seed`, () => {
    const { tensors, case: description } = goldenVectors<ModelCase>(name);
    const program = buildV3(description.model_config, { posWeight: 1, labelSmoothing: 0 });
    const state = initialState(program, new TorchGenerator(description.seed));
    assert.equal([...state.keys()], [...program.stateNames]);
    for (const { name: parameter } of program.parameters) {
      assert.equal(state.get(parameter), tensors.get(`f32.param.${parameter}`)?.data, parameter);
    }
  });
}

test('a parameter drawn twice keeps its last draw, and buffers have their values', () => {
  const builder = new ProgramBuilder('small', 2);
  builder.linearParameters('last', 2, 1);
  builder.draw('last.weight', { kind: 'constant', value: 1 });
  builder.draw('last.weight', { kind: 'constant', value: 2 });
  builder.draw('last.bias', { kind: 'constant', value: 3 });
  builder.batchNormBuffers('norm', 2);
  const logits = builder.linear(builder.gather(), 'last.weight', 'last.bias', 'logits');
  const state = initialState(builder.finish(logits, { posWeight: 1, labelSmoothing: 0 }), new TorchGenerator(0));
  assert.equal(
    Array.from(state, ([key, values]) => [key, [...values]]),
    [
      ['last.weight', [2, 2]],
      ['last.bias', [3]],
      ['norm.running_mean', [0, 0]],
      ['norm.running_var', [1, 1]],
      ['norm.num_batches_tracked', [0]],
    ],
  );
});

test.run();
