import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { none } from '../../../src/train/strategies/none.ts';

const test = suite('no strategy');

test('trains everything and never changes its mind', () => {
  const strategy = none({ unfreeze_epoch: 0, initial_trainable_prefixes: [] }, ['a']);
  assert.is(strategy.onTrainBegin()('a'), true);
  assert.is(strategy.onEpochStart(0), null);
});

test('has nothing to remember', () => {
  const strategy = none({ unfreeze_epoch: 0, initial_trainable_prefixes: [] }, []);
  assert.ok(strategy.restore(strategy.state())('anything'));
});

test.run();
