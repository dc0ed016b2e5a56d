import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertThrowsCode } from '../assert.ts';
import { minimal, problemsOf } from './fixtures.ts';

const test = suite('overrides');

test('a value is put over that of the file, the last one counts', () => {
  const { config } = minimal(
    'training_config.epochs=3',
    'model_config.mlp_head.hidden_dims=[32, 16]',
    'training_config.epochs=4',
  );
  assert.is(config.training_config.epochs, 4);
  assert.equal(config.model_config.mlp_head.hidden_dims, [32, 16]);
});

test('mappings on the way are made, also where the file has null', () => {
  const { config } = minimal('training_config.loss.pos_weight=2', 'data_config.benchmark.simulate.seed=1');
  assert.is(config.training_config.loss.pos_weight, 2);
  assert.is(config.data_config.benchmark.simulate?.seed, 1);
  assert.is(config.data_config.benchmark.simulate?.proteins, 120);
});

test('values are read as YAML 1.1, with the same warnings', () => {
  const { config, warnings } = minimal(
    'run_config.save_best_only=no',
    'run_config.load_checkpoint_path="a=b: c"',
    'run_config.mode=eval_only',
  );
  assert.is(config.run_config.save_best_only, false);
  assert.is(config.run_config.load_checkpoint_path, 'a=b: c');
  assert.is(warnings.length, 1);
  assert.is(warnings[0].where, '--set run_config.save_best_only');
  assert.match(warnings[0].message, /^no is read as false/);
});

const REFUSED: readonly [string, string, RegExp][] = [
  [
    'training_config.optimiser.lr=3',
    '--set training_config.optimiser.lr',
    /^unknown key; did you mean training_config\.optimizer\.lr\?$/,
  ],
  ['batch_size=3', '--set batch_size', /did you mean training_config\.batch_size\?$/],
  ['zzz.qqq=3', '--set zzz.qqq', /^unknown key$/],
  ['training_config.epochs', '--set training_config.epochs', /^expected key\.path=value$/],
  ['=3', '--set =3', /^expected key\.path=value$/],
  [
    'run_config.load_checkpoint_path=a: b',
    '--set run_config.load_checkpoint_path',
    /^expected one value, a \[list\] or a \{mapping\}/,
  ],
  ['model_config.mlp_head.hidden_dims=[1', '--set model_config.mlp_head.hidden_dims', /\]/],
  ['training_config.epochs=', '--set training_config.epochs', /^must be int-compatible: .*received null/],
  ['training_config.optimizer={lr: fast}', '--set training_config.optimizer.lr', /^must be float-compatible/],
];
for (const [setting, where, pattern] of REFUSED) {
  test(`refuses ${setting}`, () => {
    const [problem, ...rest] = problemsOf(setting);
    assert.equal(rest, []);
    assert.is(problem.where, where);
    assert.match(problem.message, pattern);
  });
}

test('faults of overrides and of the file are told together', () => {
  const error = assertThrowsCode(
    () => minimal('nope=1', 'training_config.epochs=0'),
    'RELIC_CONFIG_INVALID',
    /has 2 faults/,
  );
  assert.is(error.exitCode, 2);
});

test.run();
