import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { resolveCompat } from '../../src/config/compat.ts';
import { dropoutKeys, hardExamplesOf, optimizerSettings, scheduleOf } from '../../src/stages/train-settings.ts';
import { assertClose } from '../assert.ts';
import { inProject } from './project.ts';

const test = suite('train settings');
const [BY_DEFAULT, ORIGINAL] = [resolveCompat('none'), resolveCompat('relic-5f23433')];
const optimizer = (key: string, value: unknown) => `training_config.optimizer.${key}=${value}`;
const sampling = (key: string, value: unknown) => `data_config.dataloader.sampling.${key}=${value}`;
const scheduler = (key: string, value: unknown) => `training_config.scheduler.${key}=${value}`;

test('optimizer settings', () =>
  inProject((project) => {
    const { config } = project.load(optimizer('beta2', 0.9), optimizer('eps', 0.001), optimizer('weight_decay', 0.5));
    assert.equal(optimizerSettings(config), { type: 'adamw', beta2: 0.9, eps: 0.001, weightDecay: 0.5 });
  }));

test('without a schedule beta1 is the momentum of adamw, and sgd has none', () =>
  inProject((project) => {
    const adamw = scheduleOf(project.load(optimizer('beta1', 0.8)).config, 4);
    assert.equal(adamw.at(5), { lr: 0.01, momentum: 0.8 });
    const sgd = scheduleOf(project.load(optimizer('type', 'sgd')).config, 4);
    assert.equal(sgd.at(5), { lr: 0.01, momentum: 0 });
  }));

test('onecycle spans all epochs and moves the momentum', () =>
  inProject((project) => {
    const { config } = project.load(
      scheduler('type', 'onecycle'),
      scheduler('max_lr', 0.5),
      scheduler('pct_start', 0.25),
    );
    const schedule = scheduleOf(config, 4);
    assertClose(schedule.at(0).lr, 0.5 / 25, { rel: 1e-12 });
    assertClose(schedule.at(1).lr, 0.5, { rel: 1e-12 });
    assertClose(schedule.at(1).momentum, 0.85, { rel: 1e-12 });
    assertClose(schedule.at(7).lr, 0.5 / 25 / 1e4, { rel: 1e-9 });
  }));

test('hard examples wait for the warm-up, which the original did not read', () =>
  inProject((project) => {
    const ohem = [sampling('strategy', 'ohem'), sampling('warmup_epochs', 2), sampling('min_keep', 3)];
    const { config } = project.load(...ohem);
    const hard = { keepRatio: 0.5, minKeep: 3 };
    assert.equal([0, 1, 2].map(hardExamplesOf(config, BY_DEFAULT)), [null, null, hard]);
    assert.equal([0, 1, 2].map(hardExamplesOf(config, ORIGINAL)), [hard, hard, hard]);
    assert.equal([0, 9].map(hardExamplesOf(project.load().config, BY_DEFAULT)), [null, null]);
  }));

test('each rank and stage has masks of its own; the original had one for all ranks', () =>
  inProject((project) => {
    const { config } = project.load();
    const [first, second] = dropoutKeys(config, BY_DEFAULT, 2, 'pretrain');
    assert.not.equal(first, second);
    assert.not.equal(dropoutKeys(config, BY_DEFAULT, 1, 'finetune'), [first]);
    assert.equal(dropoutKeys(config, ORIGINAL, 2, 'pretrain'), [first, first]);
  }));

test.run();
