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

test('none trains everything and never changes its mind', () => {
  const strategy = createStrategy({ type: 'none', unfreeze_epoch: 0, initial_trainable_prefixes: [] }, ['a']);
  assert.is(strategy.onTrainBegin()('a'), true);
  assert.is(strategy.onEpochStart(0), null);
});

test.run();
