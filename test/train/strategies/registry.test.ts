import { readdirSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { STRATEGIES as NAMES } from '../../../src/config/names.ts';
import { createStrategy, STRATEGIES } from '../../../src/train/strategies/registry.ts';

const test = suite('strategies');

test('the registry has the names of the config and one file each', () => {
  assert.equal(Object.keys(STRATEGIES), [...NAMES]);
  const files = readdirSync(new URL('../../../src/train/strategies', import.meta.url))
    .filter((file) => !['registry.ts', 'strategy.ts'].includes(file))
    .map((file) => file.replace('.ts', '').replaceAll('-', '_'));
  assert.equal(files.sort(), Object.keys(STRATEGIES).sort());
});

test('a strategy is made by its name', () => {
  const options = { unfreeze_epoch: 1, initial_trainable_prefixes: ['b'] };
  const parameters = ['a.x', 'b.x'];
  assert.equal(parameters.map(createStrategy({ type: 'none', ...options }, parameters).onTrainBegin()), [true, true]);
  const staged = createStrategy({ type: 'staged_unfreeze', ...options }, parameters);
  assert.equal(parameters.map(staged.onTrainBegin()), [false, true]);
});

test.run();
