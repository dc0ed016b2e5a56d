import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { stagedUnfreeze } from '../../../src/train/strategies/staged-unfreeze.ts';
import { assertThrowsCode } from '../../assert.ts';

const test = suite('staged unfreeze');
const NAMES = ['encoder.input_projection.weight', 'encoder.layers.0.norm1.bias', 'output_head.layers.0.weight'];

const strategyOf = (unfreeze_epoch: number, ...initial_trainable_prefixes: string[]) =>
  stagedUnfreeze({ unfreeze_epoch, initial_trainable_prefixes }, NAMES);

test('starts with the parameters of its prefixes, with or without module.', () => {
  for (const prefix of ['output_head', 'module.output_head']) {
    const trainable = strategyOf(1, prefix).onTrainBegin();
    assert.equal(NAMES.map(trainable), [false, false, true]);
  }
});

test('trains all from its epoch on, and says so once', () => {
  const strategy = strategyOf(2, 'output_head');
  assert.is(strategy.onEpochStart(0), null);
  assert.is(strategy.onEpochStart(1), null);
  const trainable = strategy.onEpochStart(2);
  assert.equal(
    NAMES.map((name) => trainable?.(name)),
    [true, true, true],
  );
  assert.is(strategy.onEpochStart(3), null);
});

test('epoch 0 unfreezes before the first step', () => {
  assert.is.not(strategyOf(0, 'output_head').onEpochStart(0), null);
});

test('goes on from its state: frozen before its epoch, open after it', () => {
  const strategy = strategyOf(1, 'output_head');
  for (const [epoch, trained] of [
    [0, [false, false, true]],
    [1, [true, true, true]],
  ] as const) {
    strategy.onEpochStart(epoch);
    const later = strategyOf(1, 'output_head');
    assert.equal(NAMES.map(later.restore(strategy.state())), trained);
    assert.is(later.onEpochStart(epoch), null);
  }
  assert.not.ok(strategy.state().frozen);
});

test('what was trainable at first does not change with the epoch', () => {
  const strategy = strategyOf(1, 'output_head');
  const trainable = strategy.onTrainBegin();
  strategy.onEpochStart(1);
  assert.equal(NAMES.map(trainable), [false, false, true]);
});

test('a prefix that begins no name is refused with a near one', () => {
  const error = assertThrowsCode(
    () => strategyOf(1, 'output_heads'),
    'RELIC_CONFIG_INVALID',
    /initial_trainable_prefixes/,
  );
  assert.match(error.message, /did you mean output_head\?/);
  assert.match(error.message, /encoder, output_head/);
  assertThrowsCode(() => strategyOf(1, 'output_head', 'nothing'), 'RELIC_CONFIG_INVALID', /received nothing/);
});

test('no prefix at all is refused: there would be nothing to train', () => {
  assertThrowsCode(() => strategyOf(1), 'RELIC_CONFIG_INVALID', /empty list/);
});

test.run();
