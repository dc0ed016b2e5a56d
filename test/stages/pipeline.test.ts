import { existsSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Progress } from '../../src/stages/stage.ts';
import { assertRejectsCode } from '../assert.ts';
import { COMPAT, inProject } from './project.ts';

const test = suite('pipeline');

const TRAINING = ['training_config_applied', 'epoch_start', 'epoch_complete', 'stage_complete', 'stage_boundary_end'];

test('runs the three stages, one after another, and says what was done', () =>
  inProject(async (project) => {
    const { stages, engine } = await project.runHere(['device_config.engine=typescript']);
    assert.equal(
      stages.map(({ stage, checkpointPath }) => [stage, checkpointPath]),
      [
        ['pretrain', 'models/v3/pretrain/p/best_model.pth'],
        ['finetune', 'models/v3/finetune/f/best_model.pth'],
        ['evaluate', 'models/v3/finetune/f/best_model.pth'],
      ],
    );
    assert.is(engine.name, 'typescript');
    assert.equal([...(stages[2].metrics?.keys() ?? [])].slice(0, 3), ['auroc', 'auprc', 'accuracy']);
    const names = project.events('finetune', 'f').map(({ event }) => event);
    assert.is(names[0], 'engine_selected');
    assert.is(names[1], 'pipeline_bootstrap');
    for (const name of [...TRAINING, 'checkpoint_load_complete']) assert.ok(names.includes(name), name);
    assert.not.ok(existsSync('models/v3/evaluate'), 'evaluation saves no model');
  }));

test('by default log.log has our notes too; under compat events.jsonl alone has them', () =>
  inProject(async (project) => {
    const notes = ['engine_selected', 'split_summary', 'embeddings_ready', 'store_packed'];
    await project.runHere(['run_config.mode=train_only', 'device_config.engine=typescript']);
    const lines = project.logLines('pretrain', 'p').join('\n');
    for (const note of notes) assert.match(lines, `INFO ${note} | `);

    await project.runHere(['run_config.mode=train_only', 'run_config.pretrain_run_id=q', COMPAT]);
    const original = project.logLines('pretrain', 'q');
    const names = project.events('pretrain', 'q').map(({ event }) => event);
    for (const note of notes) {
      assert.not.match(original.join('\n'), note);
      assert.ok(names.includes(note), note);
    }
    assert.is(names[0], 'engine_selected');
    assert.match(original[0], /^INFO pipeline_bootstrap \| /);
    assert.is(original.at(-1), 'INFO stage_boundary_end | stage=pretrain');
  }));

test('the manifest of each stage tells its status and describes its files', () =>
  inProject(async (project) => {
    await project.runHere(['device_config.engine=typescript']);
    const manifest = JSON.parse(project.read('logs/v3/finetune/f/run.json'));
    assert.is(manifest.status, 'complete');
    assert.is(manifest.engine.name, 'typescript');
    assert.is(manifest.config.run_config.seed, 3);
    assert.equal(manifest.files.map(({ path }: { path: string }) => path).sort(), [
      'logs/v3/finetune/f/events.jsonl',
      'logs/v3/finetune/f/log.log',
      'logs/v3/finetune/f/training_step.csv',
      'models/v3/finetune/f/best_model.pth',
    ]);
    for (const { path, bytes } of manifest.files) assert.is(project.read(path).length > 0 && bytes > 0, true);
  }));

test('run ids left out are one time for all stages', () =>
  inProject(async (project) => {
    const ids = ['pretrain', 'finetune', 'eval'].map((stage) => `run_config.${stage}_run_id=null`);
    const now = () => new Date(2026, 1, 11, 9, 5, 3);
    const { stages } = await project.runHere(ids, { now });
    assert.equal(
      stages.map(({ runId }) => runId),
      ['20260211_090503', '20260211_090503', '20260211_090503'],
    );
    assert.match(
      project.read('logs/v3/pretrain/20260211_090503/log.log'),
      /^2026-02-11 09:05:03 INFO relic\.v3\.pretrain/,
    );
  }));

test('a seed decides every byte of the weights', () =>
  inProject(async (project) => {
    const dropout = 'model_config.regularization.dropout=0.2';
    await project.runHere(['run_config.mode=train_only', dropout]);
    await project.runHere(['run_config.mode=train_only', dropout, 'run_config.pretrain_run_id=again']);
    await project.runHere([
      'run_config.mode=train_only',
      dropout,
      'run_config.pretrain_run_id=other',
      'run_config.seed=4',
    ]);
    const weights = (id: string) => project.read(`models/v3/pretrain/${id}/best_model.pth`);
    assert.ok(weights('p') === weights('again'), 'equal seeds gave other weights');
    assert.not.ok(weights('p') === weights('other'), 'another seed gave the same weights');
  }));

test('progress is told at every step', () =>
  inProject(async (project) => {
    const seen: Progress[] = [];
    await project.runHere(['run_config.mode=train_only'], { onProgress: (progress) => seen.push(progress) });
    assert.equal(seen.map(({ epoch, step }) => `${epoch}.${step}`).join(' '), '1.1 1.2 1.3 1.4 2.1 2.2 2.3 2.4');
    for (const { stage, epochs, steps, loss, pairsPerSecond, etaSeconds } of seen) {
      assert.equal([stage, epochs, steps], ['pretrain', 2, 4]);
      assert.ok(loss > 0 && pairsPerSecond > 0 && etaSeconds >= 0);
    }
    assert.is(seen.at(-1)?.etaSeconds, 0);
  }));

test('a request to stop ends the run between steps, with whole files', () =>
  inProject(async (project) => {
    const controller = new AbortController();
    const onProgress = ({ epoch, step }: Progress) => {
      if (epoch === 2 && step === 3) controller.abort();
    };
    await assertRejectsCode(project.runHere([], { onProgress, signal: controller.signal }), 'RELIC_INTERRUPTED');
    assert.is(project.logLines('pretrain', 'p').at(-1), 'WARNING interrupted | epoch=2 | step=3');
    assert.is(JSON.parse(project.read('logs/v3/pretrain/p/run.json')).status, 'interrupted');
    assert.is(project.read('logs/v3/pretrain/p/training_step.csv').split('\r\n').length, 3);
    assert.not.ok(existsSync('models/v3/finetune/f/best_model.pth'));
  }));

test('a request to stop is heard in an evaluation as well', () =>
  inProject(async (project) => {
    await project.runHere();
    const controller = new AbortController();
    const lines: string[] = [];
    const log = (line: string) => {
      lines.push(line);
      if (line.includes('checkpoint_load_complete')) controller.abort();
    };
    const only = ['run_config.mode=eval_only', 'run_config.load_checkpoint_path=models/v3/finetune/f/best_model.pth'];
    await assertRejectsCode(project.runHere(only, { log, signal: controller.signal }), 'RELIC_INTERRUPTED');
    assert.match(lines.at(-1) ?? '', /WARNING .* - interrupted \| stage=evaluate\n$/);
  }));

test('a failing stage says so in its log and its manifest', () =>
  inProject(async (project) => {
    const explode = ['training_config.optimizer.lr=1e38', 'training_config.optimizer.type=sgd'];
    await assertRejectsCode(project.runHere(explode), 'RELIC_NOT_FINITE', /epoch 1 step \d/);
    assert.match(
      project.logLines('pretrain', 'p').at(-1) ?? '',
      /^ERROR stage_failed \| code=RELIC_NOT_FINITE \| message=/,
    );
    assert.is(JSON.parse(project.read('logs/v3/pretrain/p/run.json')).status, 'failed');
  }));

test('a CSV file with other columns is refused before anything is trained', () =>
  inProject(async (project) => {
    project.write('logs/v3/finetune/f/training_step.csv', 'Epoch,Something\r\n1,2\r\n');
    await assertRejectsCode(project.runHere(), 'RELIC_CSV_MISMATCH');
    assert.not.ok(existsSync('models/v3/pretrain/p/best_model.pth'));
  }));

test('a second run of the same id adds rows and puts the old best weights aside', () =>
  inProject(async (project) => {
    await project.runHere(['run_config.mode=train_only']);
    await project.runHere(['run_config.mode=train_only']);
    const rows = project.read('logs/v3/pretrain/p/training_step.csv').trimEnd().split('\r\n');
    assert.is(rows.length, 5);
    assert.is(rows.filter((row) => row.startsWith('Epoch')).length, 1);
    assert.ok(existsSync('models/v3/pretrain/p/best_model.previous.pth'));
    assert.match(project.logLines('pretrain', 'p').join('\n'), /WARNING stale_checkpoint_moved \| path=models/);
  }));

test('several processes are refused before anything is made', () =>
  inProject(async (project) => {
    process.env.WORLD_SIZE = '2';
    try {
      await assertRejectsCode(project.runHere(), 'RELIC_RANKS', /2 processes/);
    } finally {
      delete process.env.WORLD_SIZE;
    }
    assert.equal(project.made(), []);
  }));

test('two simulated ranks share the training', () =>
  inProject(async (project) => {
    const set = ['run_config.mode=train_only', 'device_config.ddp_enabled=true'];
    await project.runHere(set, { simulatedRanks: 2 });
    const lines = project.logLines('pretrain', 'p').join('\n');
    assert.match(lines, 'is_distributed=True');
    assert.match(lines, 'world_size=2');
    assert.match(lines, 'train_batches=2 ');
    assert.match(lines, 'ranks_simulated | ranks=2');
    assert.match(lines, 'model_wrapped=True');
  }));

test('ddp_enabled with one process is a warning', () =>
  inProject(async (project) => {
    await project.runHere(['run_config.mode=train_only', 'device_config.ddp_enabled=true']);
    const lines = project.logLines('pretrain', 'p').join('\n');
    assert.match(lines, 'WARNING ddp_single_process');
    assert.match(lines, 'is_distributed=False');
  }));

test('device cuda without CUDA is a warning in the first record of the first stage', () =>
  inProject(async (project) => {
    await project.runHere(['device_config.device=cuda']);
    const lines = project.logLines('pretrain', 'p');
    assert.match(lines[0], /^WARNING engine_selected \| .*requested/);
    assert.match(lines.join('\n'), 'device_resolved | requested_device=cuda | resolved_device=cpu');
    for (const [stage, id] of [
      ['finetune', 'f'],
      ['evaluate', 'e'],
    ])
      assert.match(project.logLines(stage, id)[0], /^INFO engine_selected \| .*requested/);
  }));

test('under compat the log has no line for it, and the console one', () =>
  inProject(async (project) => {
    const console: string[] = [];
    await project.runHere(['device_config.device=cuda', COMPAT], { log: (line) => console.push(line) });
    assert.is(console.filter((line) => line.includes('device cuda was requested')).length, 1);
    assert.match(console.join(''), /^WARNING:relic_train:device cuda was requested and the run is on the CPU/m);
    assert.not.match(project.logLines('pretrain', 'p').join('\n'), 'requested and the run');
  }));

test.run();
