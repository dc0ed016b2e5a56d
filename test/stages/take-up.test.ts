/** Runs that are stopped and continued inside this process: what is repeated, what is not, and what is refused. */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { PipelineOptions } from '../../src/stages/pipeline.ts';
import type { Progress } from '../../src/stages/stage.ts';
import { assertRejectsCode } from '../assert.ts';
import { nativeBinary } from '../engine/engines.ts';
import { inProject, type TinyProject } from './project.ts';

const test = suite('take up');
const AUTO: PipelineOptions = { resume: 'auto' };
const DROPOUT = 'model_config.regularization.dropout=0.2';

/** Stops when `at` says so. */
async function stopped(project: TinyProject, at: (progress: Progress) => boolean, ...set: string[]): Promise<void> {
  const controller = new AbortController();
  const onProgress = (progress: Progress) => {
    if (at(progress)) controller.abort();
  };
  const options = { onProgress, signal: controller.signal };
  await assertRejectsCode(project.runHere([DROPOUT, ...set], options), 'RELIC_INTERRUPTED');
}

/** Stops at the log line that matches. */
async function stoppedAt(project: TinyProject, pattern: RegExp, ...set: string[]): Promise<void> {
  const controller = new AbortController();
  const log = (line: string) => {
    if (pattern.test(line)) controller.abort();
  };
  await assertRejectsCode(project.runHere([DROPOUT, ...set], { log, signal: controller.signal }), 'RELIC_INTERRUPTED');
}

/** Continues, and stops at the log line that matches. */
async function stoppedAgain(project: TinyProject, pattern: RegExp): Promise<void> {
  const controller = new AbortController();
  const log = (line: string) => {
    if (pattern.test(line)) controller.abort();
  };
  const options = { ...AUTO, log, signal: controller.signal };
  await assertRejectsCode(project.runHere([DROPOUT], options), 'RELIC_INTERRUPTED');
}

const inFinetune = ({ stage, epoch, step }: Progress) => stage === 'finetune' && epoch === 2 && step === 2;
const inPretrain = ({ stage, epoch, step }: Progress) => stage === 'pretrain' && epoch === 2 && step === 1;

function outcome(project: TinyProject): Record<string, string> {
  const bytes = (path: string) => readFileSync(project.path(path)).toString('hex');
  const timeless = (path: string) => project.read(path).replace(/^(\d+),[^,]+/gm, '$1');
  return {
    pretrain: bytes('models/v3/pretrain/p/best_model.pth'),
    finetune: bytes('models/v3/finetune/f/best_model.pth'),
    rows: timeless('logs/v3/pretrain/p/training_step.csv') + timeless('logs/v3/finetune/f/training_step.csv'),
    metrics: project.read('logs/v3/evaluate/e/evaluate.csv'),
  };
}

/** What a run without interruption leaves. */
const WHOLE: Record<string, string> = {};
test.before(() =>
  inProject(async (project) => {
    await project.runHere([DROPOUT]);
    Object.assign(WHOLE, outcome(project));
  }),
);

const resumed = (project: TinyProject, stage: string, id: string) =>
  project.events(stage, id).filter(({ event }) => event === 'run_resumed');
const names = (project: TinyProject, stage: string, id: string) => project.events(stage, id).map(({ event }) => event);

test('a stopped run goes on in its stage, and stages that are done are not touched', () =>
  inProject(async (project) => {
    await stopped(project, inFinetune);
    const before = ['log.log', 'events.jsonl', 'run.json'].map((name) => project.read('logs/v3/pretrain/p', name));
    const { stages } = await project.runHere([DROPOUT], AUTO);
    const after = ['log.log', 'events.jsonl', 'run.json'].map((name) => project.read('logs/v3/pretrain/p', name));
    assert.equal(after, before);
    assert.equal(
      stages.map(({ stage, checkpointPath }) => [stage, checkpointPath]),
      [
        ['pretrain', 'models/v3/pretrain/p/best_model.pth'],
        ['finetune', 'models/v3/finetune/f/best_model.pth'],
        ['evaluate', 'models/v3/finetune/f/best_model.pth'],
      ],
    );
    assert.equal(outcome(project), WHOLE);

    const [record] = resumed(project, 'finetune', 'f');
    assert.equal(
      [record.checkpoint, record.epoch, record.step, record.csv_rows, record.finished],
      ['models/v3/finetune/f/last', 2, 2, 1, false],
    );
    const seen = names(project, 'finetune', 'f');
    for (const once of ['stage_boundary_start', 'training_config_applied', 'stage_complete', 'stage_boundary_end']) {
      assert.is(seen.filter((name) => name === once).length, 1, once);
    }
    assert.is(seen.filter((name) => name === 'epoch_start').length, 2);
    // What stands after these bytes is done again.
    const discarded = project.read('logs/v3/finetune/f/log.log').slice(record.log_bytes as number);
    assert.match(discarded.split('\n')[0], 'checkpoint_saved_last');
    const manifest = JSON.parse(project.read('logs/v3/finetune/f/run.json'));
    assert.is(manifest.status, 'complete');
    assert.ok(manifest.files.some(({ path }: { path: string }) => path.endsWith('best_model.pth')));
    assert.equal(readdirSync(project.path('models/v3/finetune/f')).sort(), ['best_model.pth', 'last']);
  }));

test('stopped again and again, it ends as it would have', () =>
  inProject(async (project) => {
    const set = 'run_config.checkpoint_every=1 step';
    await stopped(project, inPretrain, set);
    for (const at of [2, 3, 4]) {
      const controller = new AbortController();
      const onProgress = ({ epoch, step }: Progress) => void (epoch === 2 && step === at && controller.abort());
      const options = { ...AUTO, onProgress, signal: controller.signal };
      await assertRejectsCode(project.runHere([DROPOUT, set], options), 'RELIC_INTERRUPTED');
    }
    await project.runHere([DROPOUT], AUTO);
    assert.equal(outcome(project), WHOLE);
  }));

test('a run that is stopped between two stages, before the second has a checkpoint', () =>
  inProject(async (project) => {
    await stoppedAt(project, /finetune.*stage_boundary_start/);
    rmSync(project.path('models/v3/finetune/f/last'), { recursive: true });
    await project.runHere([DROPOUT], AUTO);
    assert.equal(
      resumed(project, 'finetune', 'f').map(({ checkpoint }) => checkpoint),
      [null],
    );
    assert.equal(outcome(project), WHOLE);
  }));

test('a first stage without a checkpoint starts over, with the rows and weights it had made taken away', () =>
  inProject(async (project) => {
    await stopped(project, inPretrain);
    rmSync(project.path('models/v3/pretrain/p/last'), { recursive: true });
    assert.ok(existsSync('models/v3/pretrain/p/best_model.pth'));
    await project.runHere([DROPOUT], AUTO);
    assert.equal(outcome(project), WHOLE);
    assert.not.ok(existsSync('models/v3/pretrain/p/best_model.previous.pth'));
  }));

test('a run that is stopped in its evaluation evaluates, once', () =>
  inProject(async (project) => {
    await stoppedAt(project, /evaluate.*checkpoint_load_complete/);
    const { stages } = await project.runHere([DROPOUT], AUTO);
    assert.ok(stages[2].metrics);
    assert.equal(outcome(project), WHOLE);
    assert.is(resumed(project, 'finetune', 'f').length, 0);
    // As if it was killed after its row was written.
    const manifest = project.path('logs/v3/evaluate/e/run.json');
    writeFileSync(manifest, readFileSync(manifest, 'utf8').replace('"complete"', '"running"'));
    await project.runHere([DROPOUT], AUTO);
    assert.is(project.read('logs/v3/evaluate/e/evaluate.csv').split('\r\n').length, 3);
  }));

test('a complete run says so, and nothing is written', () =>
  inProject(async (project) => {
    await project.runHere([DROPOUT]);
    const before = outcome(project);
    const log = project.read('logs/v3/evaluate/e/log.log');
    const lines: string[] = [];
    const { stages } = await project.runHere([DROPOUT], { ...AUTO, log: (line) => lines.push(line) });
    assert.is(lines.length, 1);
    assert.match(lines[0], /^INFO:relic_train:the run is complete, .*logs\/v3\/pretrain\/p, /);
    assert.is(stages.length, 3);
    assert.equal([outcome(project), project.read('logs/v3/evaluate/e/log.log')], [before, log]);
  }));

test('with nothing to resume a run starts, and says so', () =>
  inProject(async (project) => {
    await project.runHere(['run_config.mode=train_only'], AUTO);
    assert.ok(names(project, 'pretrain', 'p').includes('nothing_to_resume'));
    await project.runHere(['run_config.mode=train_only', 'run_config.pretrain_run_id=q']);
    assert.not.ok(names(project, 'pretrain', 'q').includes('nothing_to_resume'));
  }));

test('a checkpoint that was cut short: the one before it is taken, with a warning', () =>
  inProject(async (project) => {
    await stopped(project, inPretrain, 'run_config.checkpoint_every=1 step');
    const cut = () => truncateSync(project.path('models/v3/pretrain/p/last/optimizer.safetensors'), 100);
    cut();
    // The next checkpoint must have kept the good one, and not the one that was cut short.
    await stoppedAgain(project, /run_resumed/);
    cut();
    await project.runHere([DROPOUT], AUTO);
    const warning = project.events('pretrain', 'p').find(({ event }) => event === 'checkpoint_incomplete');
    assert.is(warning?.level, 40);
    assert.is(warning?.used, 'models/v3/pretrain/p/last.backup');
    assert.match(String(warning?.reason), /optimizer\.safetensors has 100 of/);
    assert.equal(outcome(project), WHOLE);
  }));

test('a damaged checkpoint, or one of other data, is refused before anything is changed', () =>
  inProject(async (project) => {
    await stopped(project, inPretrain);
    const weights = project.path('models/v3/pretrain/p/last/model.pth');
    const [good, csv] = [readFileSync(weights), project.read('logs/v3/pretrain/p/training_step.csv')];
    const bad = Buffer.from(good);
    bad[bad.length >> 1] ^= 1;
    writeFileSync(weights, bad);
    await assertRejectsCode(
      project.runHere([DROPOUT], AUTO),
      'RELIC_CHECKPOINT_INVALID',
      /last\/model\.pth: .*SHA-256/,
    );
    writeFileSync(weights, good);

    const pairs = project.read('pairs/train.txt');
    project.write('pairs/train.txt', pairs.replace('\t1\n', '\t0\n'));
    const error = await assertRejectsCode(project.runHere([DROPOUT], AUTO), 'RELIC_CHECKPOINT_MISMATCH', /another run/);
    assert.equal(
      error.problems.map(({ where }) => where),
      ['pairs or embeddings'],
    );
    project.write('pairs/train.txt', pairs);
    assert.is(project.read('logs/v3/pretrain/p/training_step.csv'), csv);
    // Both refusals left the run as it was.
    await project.runHere([DROPOUT], AUTO);
    assert.equal(outcome(project), WHOLE);
  }));

test('without the end of pretraining, a finetuning that starts over cannot know the order of its data', () =>
  inProject(async (project) => {
    await stoppedAt(project, /finetune.*stage_boundary_start/);
    for (const stage of ['pretrain/p', 'finetune/f']) {
      rmSync(project.path(`models/v3/${stage}/last`), { recursive: true });
    }
    await assertRejectsCode(project.runHere([DROPOUT], AUTO), 'RELIC_CHECKPOINT_NOT_FOUND', /pretrain\/p\/last/);
  }));

test('a run that starts anew in the same place keeps the rows, and puts every checkpoint aside', () =>
  inProject(async (project) => {
    await stopped(project, inFinetune);
    await project.runHere([DROPOUT]);
    const models = readdirSync(project.path('models/v3/finetune/f')).sort();
    assert.equal(models, ['best_model.previous.pth', 'best_model.pth', 'last', 'last.previous']);
    // One row of the stopped run, two of the whole one.
    assert.is(project.read('logs/v3/finetune/f/training_step.csv').trimEnd().split('\r\n').length, 1 + 1 + 2);
    await stopped(project, inFinetune);
    await project.runHere([DROPOUT], AUTO);
    const rows = project.read('logs/v3/finetune/f/training_step.csv').trimEnd().split('\r\n');
    assert.equal(
      rows.map((row) => row.split(',')[0]),
      ['Epoch', '1', '1', '2', '1', '2'],
    );
  }));

test('best weights that are of an epoch to be done again, or gone, become those of the checkpoint', () =>
  inProject(async (project) => {
    await stopped(project, inPretrain);
    const best = project.path('models/v3/pretrain/p/best_model.pth');
    const kept = readFileSync(best);
    const replace = () => {
      writeFileSync(`${best}.new`, 'x');
      renameSync(`${best}.new`, best);
    };
    for (const spoil of [() => rmSync(best), replace]) {
      spoil();
      await stoppedAgain(project, /run_resumed/);
      assert.equal(readFileSync(best), kept);
    }
  }));

test('a stage that is still to come is not complete because an earlier run of its id was', () =>
  inProject(async (project) => {
    await project.runHere([DROPOUT]);
    await stopped(project, inPretrain);
    const status = (stage: string) => JSON.parse(project.read('logs/v3', stage, 'run.json')).status;
    assert.equal(['pretrain/p', 'finetune/f', 'evaluate/e'].map(status), ['interrupted', 'waiting', 'waiting']);
  }));

if (nativeBinary !== undefined) {
  test('another engine may go on, with a warning that says what changed', () =>
    inProject(async (project) => {
      await stopped(project, inPretrain, 'device_config.engine=typescript');
      await project.runHere([DROPOUT, 'device_config.engine=native', 'device_config.threads=1'], AUTO);
      const warning = project.events('pretrain', 'p').find(({ event }) => event === 'engine_changed');
      assert.match(String(warning?.changed), /name typescript -> native, .*isa null -> /);
      assert.is(JSON.parse(project.read('logs/v3/evaluate/e/run.json')).status, 'complete');
    }));
}

test.run();
