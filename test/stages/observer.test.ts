import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CsvFile, trainingStepColumns } from '../../src/artifacts/csv.ts';
import { ALONE } from '../../src/distributed/group.ts';
import { type EventLog, eventBody, type Fields } from '../../src/log.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { cell, stageObserver } from '../../src/stages/observer.ts';
import { checkedProgram } from '../../src/stages/preflight.ts';
import type { Progress, StageContext } from '../../src/stages/stage.ts';
import { initialState } from '../../src/train/initial-state.ts';
import type { EpochDone, StepDone } from '../../src/train/observer.ts';
import { COMPAT, inProject, type TinyProject } from './project.ts';

const test = suite('stage observer');

/** A context with a log that keeps its lines, and no engine behind its model. */
function contextOf(project: TinyProject, ...set: string[]) {
  const loaded = project.load(...set);
  const program = checkedProgram(loaded);
  const lines: string[] = [];
  const keep =
    (level: string) =>
    (name: string, fields: Fields = {}) =>
      void lines.push(level + eventBody(name, fields));
  const log: EventLog = {
    event: keep(''),
    warning: keep('WARNING '),
    error: keep('ERROR '),
    note: (level, name, fields = {}) => keep(`${level} note `)(name, fields),
    heartbeat: (text) => void lines.push(text),
    close: () => {},
  };
  mkdirSync('models');
  const progress: Progress[] = [];
  const context = {
    loaded,
    log,
    csv: new CsvFile('training_step.csv', trainingStepColumns(['auprc', 'auroc'])),
    place: { stage: 'pretrain', runId: 'p', logDir: '', modelDir: 'models' },
    model: { program, state: () => initialState(program, new TorchGenerator(0)) },
    written: new Set<string>(),
    group: ALONE,
    onProgress: (state: Progress) => progress.push(state),
  } as unknown as StageContext;
  return { context, lines, progress };
}

const STEP: StepDone = {
  type: 'step',
  epoch: 2,
  step: 3,
  steps: 4,
  runningLoss: 0.69312,
  lr: 1.23456789e-7,
  pairs: 16,
  heartbeat: true,
};

const DONE: EpochDone = {
  type: 'epochDone',
  epoch: 2,
  seconds: 1.5,
  trainLoss: 0.7,
  validation: {
    labels: new Float32Array(0),
    logits: new Float32Array(0),
    probabilities: new Float32Array(0),
    loss: 0.8,
    metrics: new Map<string, number | null>([
      ['auprc', 0.75],
      ['auroc', 1],
    ]),
  },
  monitored: 0.75,
  improved: true,
  lr: 5e-5,
};

test('a heartbeat shows the learning rate with six significant digits', () =>
  inProject((project) => {
    const ours = contextOf(project);
    stageObserver(ours.context)(STEP);
    stageObserver(ours.context)({ ...STEP, heartbeat: false });
    assert.equal(ours.lines, ['Epoch 2 step 3/4 | running_train_loss=0.6931 | lr=1.23457e-07']);
  }));

test('under compat it has six decimals', () =>
  inProject((project) => {
    const theirs = contextOf(project, COMPAT);
    stageObserver(theirs.context)(STEP);
    assert.equal(theirs.lines, ['Epoch 2 step 3/4 | running_train_loss=0.6931 | lr=0.000000']);
  }));

test('an epoch: its row, its best weights, its end', () =>
  inProject((project) => {
    const { context, lines } = contextOf(project);
    stageObserver(context)(DONE);
    const best = join('models', 'best_model.pth');
    assert.equal(lines, [
      'training_csv_row_written | epoch=2 | path=training_step.csv',
      `checkpoint_saved_best | epoch=2 | monitor_metric=val_auprc | monitor_value=0.750000 | path=${best}`,
      'epoch_complete | epoch=2 | epoch_seconds=1.500000 | monitor_metric=val_auprc | monitor_value=0.750000 | train_loss=0.700000 | val_loss=0.800000',
    ]);
    assert.is(
      project.read('training_step.csv'),
      'Epoch,Epoch Time,Train Loss,Val Loss,Val auprc,Val auroc,Learning Rate\r\n2,1.5,0.7,0.8,0.75,1.0,5e-05\r\n',
    );
    assert.equal([...context.written], ['training_step.csv', best]);
    assert.ok(existsSync(best));
  }));

test('a rank other than 0 tells of the epoch and writes nothing', () =>
  inProject((project) => {
    const { context, lines } = contextOf(project);
    const before = project.made();
    stageObserver({ ...context, group: { ...ALONE, rank: 1, size: 2 } })(DONE);
    assert.equal(
      lines.map((line) => line.split(' | ')[0]),
      ['epoch_complete'],
    );
    assert.equal(project.made(), before);
    assert.is(context.written.size, 0);
  }));

test('every epoch has a checkpoint when save_best_only is false, also one that did not improve', () =>
  inProject((project) => {
    const { context, lines } = contextOf(project, 'run_config.save_best_only=false');
    stageObserver(context)({ ...DONE, improved: false });
    assert.equal(
      lines.map((line) => line.split(' | ')[0]),
      ['training_csv_row_written', 'checkpoint_saved_epoch', 'epoch_complete'],
    );
    assert.ok(existsSync('models/checkpoint_epoch_002.pth'));
    assert.not.ok(existsSync('models/best_model.pth'));
  }));

test('an undefined metric is an empty cell, and an undefined monitor a warning', () =>
  inProject((project) => {
    const { context, lines } = contextOf(project);
    const metrics = new Map<string, number | null>([
      ['auprc', null],
      ['auroc', null],
    ]);
    const validation = { ...DONE.validation, metrics };
    stageObserver(context)({ ...DONE, validation, monitored: Number.NaN, improved: false });
    assert.match(project.read('training_step.csv'), '2,1.5,0.7,0.8,,,5e-05\r\n');
    assert.match(lines[1], /^warning note monitor_undefined \| epoch=2/);
    assert.match(lines[2], 'monitor_value=nan');
    assert.is(cell(undefined), '');
  }));

test('the other events', () =>
  inProject((project) => {
    const { context, lines } = contextOf(project);
    const observer = stageObserver(context);
    observer({ type: 'epochStart', epoch: 1, totalEpochs: 2 });
    observer({ type: 'earlyStop', epoch: 1 });
    observer({ type: 'interrupted', epoch: 1, step: 7 });
    assert.equal(lines, [
      'epoch_start | epoch=1 | total_epochs=2',
      'early_stopping_triggered | epoch=1',
      'WARNING interrupted | epoch=1 | step=7',
    ]);
  }));

test('progress counts pairs of the epoch and time of the stage', () =>
  inProject((project) => {
    const { context, progress } = contextOf(project);
    let now = 0;
    const observer = stageObserver(context, () => now);
    now = 1000;
    observer({ type: 'epochStart', epoch: 2, totalEpochs: 2 });
    now = 3000;
    observer({ ...STEP, step: 2 });
    const { pairsPerSecond, etaSeconds } = progress[0];
    // 16 pairs in 2 s of this epoch; 6 of 8 steps took the 3 s of the stage.
    assert.equal([pairsPerSecond, etaSeconds], [8, 1]);
  }));

test.run();
