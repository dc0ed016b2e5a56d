import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { messages, minimal } from './fixtures.ts';

const test = suite('effects');

const SILENT: readonly (readonly string[])[] = [
  [],
  ['training_config.scheduler.type=onecycle', 'training_config.optimizer.lr=3.0e-4'],
  ['training_config.scheduler={type: onecycle, max_lr: 0.5}'],
  ['training_config.strategy={type: staged_unfreeze}', 'training_config.epochs=2'],
  ['data_config.dataloader.sampling={strategy: ohem, keep_ratio: 0.5, warmup_epochs: 1}'],
  ['data_config.dataloader.num_workers=0'],
];
for (const set of SILENT) {
  test(`no warning for ${set.join(' ') || 'defaults'}`, () => {
    assert.equal(minimal(...set).warnings, []);
  });
}

const WARNED: readonly [readonly string[], RegExp][] = [
  [['run_config.load_checkpoint_path=a.pth'], /^no effect, mode is full_pipeline$/],
  [['training_config.optimizer={type: sgd, beta1: 0.9, eps: 0}'], /^beta1, eps: no effect, type is sgd$/],
  [
    ['training_config.scheduler={type: onecycle, max_lr: 1}', 'training_config.optimizer.lr=2'],
    /^no effect, scheduler\.type is onecycle: it starts at max_lr \/ div_factor and peaks at max_lr \(1\)$/,
  ],
  [
    ['training_config.scheduler.type=onecycle', 'training_config.optimizer.beta1=0.9'],
    /^beta1: no effect, .*0\.95 to 0\.85/,
  ],
  [['training_config.scheduler={max_lr: 1, pct_start: 0.3}'], /^max_lr, pct_start: no effect, type is none$/],
  [['training_config.strategy.unfreeze_epoch=2'], /^unfreeze_epoch: no effect, type is none$/],
  [['training_config.strategy={type: staged_unfreeze}'], /^no effect, training ends after epoch 0/],
  [['data_config.dataloader.sampling.keep_ratio=1'], /^keep_ratio: no effect, strategy is none$/],
  [
    ['run_config.compat=relic-5f23433', 'data_config.dataloader.sampling={strategy: ohem, warmup_epochs: 1}'],
    /^no effect, run_config\.compat/,
  ],
  [['data_config.dataloader.num_workers=4'], /^no effect, .*need no workers/],
  [['data_config.dataloader.pin_memory=true'], /^no effect/],
  [['training_config.early_stopping_patience=0'], /^0 stops every stage after its first epoch$/],
];
for (const [set, pattern] of WARNED) {
  test(`warns of ${set.join(' ')}`, () => {
    const told = messages(minimal(...set).warnings);
    assert.is(told.length, 1, told.join('\n'));
    assert.match(told[0], pattern);
  });
}

test.run();
