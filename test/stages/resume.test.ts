import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { thisProcess } from '../../src/stages/process-identity.ts';
import { findRun } from '../../src/stages/resume.ts';
import { assertThrowsCode } from '../assert.ts';
import { inProject, type TinyProject } from './project.ts';

const test = suite('resume');
const CLOCK_IDS = ['pretrain', 'finetune', 'eval'].map((stage) => `run_config.${stage}_run_id=null`);

interface Manifest {
  status: string;
  run: Record<string, unknown>;
}

/** A stage's manifest, edited. */
function edit(project: TinyProject, stage: string, change: (manifest: Manifest) => void): void {
  const path = project.path('logs/v3', stage, 'run.json');
  const manifest = JSON.parse(readFileSync(path, 'utf8'));
  change(manifest);
  writeFileSync(path, JSON.stringify(manifest));
}

const find = (project: TinyProject, from = 'auto', set: readonly string[] = [], runId?: string) =>
  findRun(project.load(...set), { from, runId, ranks: 1 });

test('a run is found by the ids of the config, with what is complete and what rows were there before', () =>
  inProject(async (project) => {
    assert.is(find(project), undefined);
    await project.runHere();
    edit(project, 'finetune/f', (manifest) => {
      manifest.status = 'interrupted';
      manifest.run.csv_rows = 4;
    });
    const run = find(project);
    assert.equal([...(run?.complete ?? [])], ['pretrain']);
    assert.equal(
      Array.from(run?.places.values() ?? [], ({ logDir }) => logDir),
      ['logs/v3/pretrain/p', 'logs/v3/finetune/f', 'logs/v3/evaluate/e'],
    );
    assert.equal([...(run?.csvRows.values() ?? [])], [0, 4, 0]);
  }));

test('a stage after one that is not complete is not complete either', () =>
  inProject(async (project) => {
    await project.runHere();
    edit(project, 'pretrain/p', (manifest) => {
      manifest.status = 'failed';
    });
    assert.is(find(project)?.complete.size, 0);
  }));

test('without ids auto takes the newest run of these settings', () =>
  inProject(async (project) => {
    const started = async (seconds: number, ...set: string[]) => {
      const now = () => new Date(2026, 0, 1, 0, 0, seconds);
      await project.runHere([...CLOCK_IDS, 'run_config.mode=train_only', ...set], { now });
    };
    const newest = () =>
      find(project, 'auto', [...CLOCK_IDS, 'run_config.mode=train_only'])?.places.get('pretrain')?.runId;
    await started(1);
    await started(5);
    await started(3);
    await started(9, 'run_config.seed=9');
    mkdirSync(project.path('logs/v3/pretrain/not-a-run'));
    assert.is(newest(), '20260101_000005');
    assert.is(find(project, 'auto', [...CLOCK_IDS, 'run_config.mode=train_only'], 'job_1'), undefined);
    assert.is(find(project, 'auto', [...CLOCK_IDS, 'run_config.mode=train_only'], '20260101_000001')?.places.size, 1);
  }));

test('a directory of the run may be any of its stages, below logs or models, or its last/', () =>
  inProject(async (project) => {
    await project.runHere(CLOCK_IDS, { runId: 'r' });
    for (const path of [
      'models/v3/finetune/r',
      './models/v3/pretrain/r/last/',
      'logs/v3/evaluate/r',
      project.path('logs/v3/pretrain/r'),
    ]) {
      assert.is(find(project, path, CLOCK_IDS)?.places.get('evaluate')?.runId, 'r', path);
    }
  }));

test('a path that is no directory of a run here is refused', () =>
  inProject(async (project) => {
    await project.runHere(['run_config.mode=train_only']);
    for (const path of [
      'nowhere',
      'models/v3/pretrain',
      'models/v4/pretrain/p',
      '/tmp',
      '../x',
      'data/v3/pretrain/p',
    ]) {
      assertThrowsCode(() => find(project, path), 'RELIC_USAGE', /--resume: expected auto, or a directory/);
    }
    assertThrowsCode(() => find(project, 'logs/v3/pretrain/q'), 'RELIC_USAGE', /no run\.json/);
    // The finetuning is not of this mode.
    assertThrowsCode(() => find(project, 'models/v3/finetune/f', ['run_config.mode=train_only']), 'RELIC_USAGE');
  }));

test('changed settings, ids and ranks are refused by name; what cannot matter is not', () =>
  inProject(async (project) => {
    await project.runHere(['run_config.mode=train_only']);
    const only = 'run_config.mode=train_only';
    const wrong = (ranks: number, ...set: string[]) =>
      assertThrowsCode(
        () => findRun(project.load(only, ...set), { from: 'logs/v3/pretrain/p', ranks }),
        'RELIC_CONFIG_INVALID',
        /logs\/v3\/pretrain\/p: the run cannot be continued with other settings/,
      ).problems.map(({ where }) => where);
    assert.equal(wrong(1, 'training_config.epochs=9'), ['training_config.epochs']);
    assert.equal(wrong(1, 'run_config.pretrain_run_id=q'), ['run id of pretrain']);
    assert.equal(wrong(2), ['ranks']);
    assert.ok(find(project, 'auto', [only, 'run_config.checkpoint_every=1 step']));
    assert.ok(find(project, 'logs/v3/pretrain/p', [only, 'run_config.pretrain_run_id=null']));
  }));

test('a run that another process works on is left alone', () =>
  inProject(async (project) => {
    await project.runHere(['run_config.mode=train_only']);
    const only = ['run_config.mode=train_only'];
    const parent = { ...thisProcess(), pid: process.ppid, started: startOf(process.ppid) };
    for (const [status, refused] of [
      ['running', true],
      ['waiting', true],
      ['interrupted', false],
      ['failed', false],
      ['complete', false],
    ] as const) {
      edit(project, 'pretrain/p', (manifest) => {
        manifest.status = status;
        manifest.run.process = parent;
      });
      if (refused) assertThrowsCode(() => find(project, 'auto', only), 'RELIC_USAGE', /another process works on this/);
      else assert.ok(find(project, 'auto', only), status);
    }
  }));

function startOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')[19];
  } catch {
    return '';
  }
}

test.run();
