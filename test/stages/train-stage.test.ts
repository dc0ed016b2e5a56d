import { existsSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { elementCount } from '../../src/model/program.ts';
import { saveState } from '../../src/stages/checkpoints.ts';
import { checkedProgram } from '../../src/stages/preflight.ts';
import { trainingStage } from '../../src/stages/train-stage.ts';
import { COMPAT, inProject, type TinyProject } from './project.ts';

const test = suite('training stage');
const ONLY = 'run_config.mode=train_only';
const ONE_CLASS = 'P0\tP1\t1\nP2\tP3\t1\n';

const eventNames = (project: TinyProject, id = 'p') => project.events('pretrain', id).map(({ event }) => event);

test('its CSV has the validation metrics of the config', () =>
  inProject((project) => {
    const { config } = project.load(
      'training_config.logging.validation_metrics=[f1, auroc]',
      'training_config.monitor_metric=auroc',
    );
    const columns = ['Epoch', 'Epoch Time', 'Train Loss', 'Val Loss', 'Val f1', 'Val auroc', 'Learning Rate'];
    assert.equal(trainingStage('pretrain', null).csvColumns(config), columns);
  }));

test('the events of a stage, in the order of the contract', () =>
  inProject(async (project) => {
    await project.runHere([ONLY, COMPAT, 'run_config.save_best_only=false', 'training_config.epochs=1']);
    assert.equal(
      project.logLines('pretrain', 'p').map((line) => line.split(' ')[1]),
      [
        'pipeline_bootstrap',
        'device_resolved',
        'dataloaders_ready',
        'model_initialized',
        'ddp_wrap_complete',
        'stage_boundary_start',
        'stage_start',
        'training_config_applied',
        'epoch_start',
        'Epoch',
        'Epoch',
        'Epoch',
        'Epoch',
        'training_csv_row_written',
        'checkpoint_saved_best',
        'checkpoint_saved_epoch',
        'epoch_complete',
        'stage_complete',
        'stage_boundary_end',
      ],
    );
  }));

test('without a best epoch the last weights are saved as a fallback', () =>
  inProject(async (project) => {
    project.write('pairs/valid.txt', ONE_CLASS);
    await project.runHere([ONLY]);
    const names = eventNames(project);
    assert.ok(names.includes('monitor_undefined'));
    assert.not.ok(names.includes('checkpoint_saved_best'));
    assert.is(names[names.indexOf('stage_complete') - 1], 'checkpoint_saved_fallback');
    assert.ok(existsSync('models/v3/pretrain/p/best_model.pth'));
  }));

test('under compat one class scores 0, which the first epoch improves on', () =>
  inProject(async (project) => {
    project.write('pairs/valid.txt', ONE_CLASS);
    await project.runHere([ONLY, COMPAT]);
    assert.ok(eventNames(project).includes('checkpoint_saved_best'));
    assert.match(project.read('logs/v3/pretrain/p/training_step.csv'), /,0\.0,0\.0,0\.01\r\n$/);
  }));

test("an earlier run's best weights do not stand in for this run's", () =>
  inProject(async (project) => {
    project.write('pairs/valid.txt', ONE_CLASS);
    project.write('models/v3/pretrain/p/best_model.pth', 'old');
    await project.runHere([ONLY]);
    assert.is(project.read('models/v3/pretrain/p/best_model.previous.pth'), 'old');
    assert.ok(eventNames(project).includes('checkpoint_saved_fallback'));
  }));

test('a monitored loss is minimised', () =>
  inProject(async (project) => {
    await project.runHere([ONLY, 'training_config.monitor_metric=loss', 'training_config.epochs=3']);
    const rows = project.read('logs/v3/pretrain/p/training_step.csv').trimEnd().split('\r\n').slice(1);
    const losses = rows.map((row) => Number(row.split(',')[3]));
    const saved = project.events('pretrain', 'p').filter(({ event }) => event === 'checkpoint_saved_best');
    assert.is(saved.at(-1)?.monitor_value, Math.min(...losses));
    assert.is(saved.at(-1)?.monitor_metric, 'val_loss');
  }));

test("finetuning starts from the weights in pretraining's best file", () =>
  inProject(async (project) => {
    // The file is replaced between the stages by weights of zero, whose logit is 0 and whose loss is log 2.
    const program = checkedProgram(project.load());
    const zeros = new Map(program.parameters.map(({ name, shape }) => [name, new Float32Array(elementCount(shape))]));
    const log = (line: string) => {
      if (/finetune.*stage_boundary_start/.test(line)) saveState('models/v3/pretrain/p/best_model.pth', program, zeros);
    };
    await project.runHere([], { log });
    const first = project.logLines('finetune', 'f').find((line) => line.includes('Epoch 1 step 1/4'));
    assert.match(first ?? '', 'running_train_loss=0.6931 ');
  }));

test.run();
