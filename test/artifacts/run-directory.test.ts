import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { writeFileAtomic } from '../../src/artifacts/files.ts';
import {
  createStageDirectories,
  epochCheckpointName,
  keepBest,
  pruneTemporaries,
  quarantineStale,
  restoreBest,
  setAsideLast,
  stageDirectories,
} from '../../src/artifacts/run-directory.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('artifacts/run-directory');
const STAGE = { model: 'v3', stage: 'pretrain', runId: 'golden_pretrain' };
let root = '';
test.before.each(() => {
  root = mkdtempSync(join(tmpdir(), 'relic-'));
});
test.after.each(() => rmSync(root, { recursive: true }));

test('paths are those of the original, relative where the root is', () => {
  const expected = { logDir: 'logs/v3/pretrain/golden_pretrain', modelDir: 'models/v3/pretrain/golden_pretrain' };
  assert.equal(stageDirectories({ root: '', ...STAGE }), expected);
  assert.equal(stageDirectories({ root: '.', ...STAGE }), expected);
  assert.is(stageDirectories({ root: '/x', ...STAGE }).logDir, '/x/logs/v3/pretrain/golden_pretrain');
});

test('names that are not one directory are refused', () => {
  for (const runId of ['', '.', '..', 'a/b', '../a', 'a\\b', 'a\nb', 'a\0b'])
    assertThrowsCode(() => stageDirectories({ root: '', ...STAGE, runId }), 'RELIC_USAGE', /^run id: expected/);
  assert.ok(stageDirectories({ root: '', ...STAGE, runId: '20260212_135926' }));
});

test('checkpoints of epochs are padded to three digits', () => {
  assert.equal([1, 12, 1234].map(epochCheckpointName), [
    'checkpoint_epoch_001.pth',
    'checkpoint_epoch_012.pth',
    'checkpoint_epoch_1234.pth',
  ]);
});

test('directories are made, the model directory only where wanted', () => {
  const directories = stageDirectories({ root, ...STAGE });
  createStageDirectories(directories, false);
  assert.equal([existsSync(directories.logDir), existsSync(directories.modelDir)], [true, false]);
  createStageDirectories(directories, true);
  assert.equal(readdirSync(directories.modelDir), []);
});

test('a root that is a file is an error that names the directory', () => {
  writeFileSync(join(root, 'logs'), '');
  const create = () => createStageDirectories(stageDirectories({ root, ...STAGE }), true);
  assertThrowsCode(create, 'RELIC_IO', /logs\/v3\/pretrain\/golden_pretrain: cannot create directory/);
});

test('temporary files of dead processes and of our own number go, those of the living stay', () => {
  const dead = spawnSync(process.execPath, ['-e', '']).pid;
  const stale = [`.best_model.pth.${dead}.tmp`, `.a.b.${process.pid}.tmp`];
  const kept = [
    `.best_model.pth.${process.ppid}.tmp`,
    'best_model.pth',
    `best_model.pth.${dead}.tmp`,
    '.a.tmp',
    '.x.y.tmp',
  ];
  for (const name of [...stale, ...kept]) writeFileSync(join(root, name), '');
  assert.equal(pruneTemporaries(root).sort(), stale.sort());
  assert.equal(readdirSync(root).sort(), kept.sort());
});

test('an earlier best model is put aside, replacing the one before', () => {
  const modelDir = join(root, 'models');
  mkdirSync(modelDir);
  assert.is(quarantineStale(modelDir), undefined);
  for (const content of ['first', 'second']) {
    writeFileSync(join(modelDir, 'best_model.pth'), content);
    assert.is(quarantineStale(modelDir), join(modelDir, 'best_model.previous.pth'));
    assert.equal(readdirSync(modelDir), ['best_model.previous.pth']);
    assert.is(readFileSync(join(modelDir, 'best_model.previous.pth'), 'utf8'), content);
  }
});

test('a best model that cannot be put aside is an error', () => {
  writeFileSync(join(root, 'best_model.pth'), '');
  mkdirSync(join(root, 'best_model.previous.pth'));
  assertThrowsCode(() => quarantineStale(root), 'RELIC_IO', /best_model\.pth: cannot rename/);
});

test('a half-written checkpoint folder of a dead process goes too', () => {
  const dead = spawnSync(process.execPath, ['-e', '']).pid;
  mkdirSync(join(root, `.last.${dead}.tmp`, 'inner'), { recursive: true });
  assert.equal(pruneTemporaries(root), [`.last.${dead}.tmp`]);
  assert.equal(readdirSync(root), []);
});

test("an earlier run's last/ is put aside with nothing left to continue, also where only its backup is left", () => {
  setAsideLast(root);
  assert.equal(readdirSync(root), []);
  for (const [names, kept] of [
    [['last', 'last.backup'], 'last'],
    [['last.backup'], 'last.backup'],
  ] as const) {
    for (const name of names) {
      mkdirSync(join(root, name));
      writeFileSync(join(root, name, 'name'), name);
    }
    setAsideLast(root);
    assert.equal(readdirSync(root), ['last.previous']);
    assert.is(readFileSync(join(root, 'last.previous', 'name'), 'utf8'), kept);
  }
});

test('the best weights are kept as they were, and come back; where there were none, there are none again', () => {
  const [best, last] = [join(root, 'best_model.pth'), join(root, 'last')];
  mkdirSync(last);
  keepBest(root, last);
  assert.equal(readdirSync(last), []);
  writeFileAtomic(best, 'new');
  restoreBest(root, last);
  assert.equal(readdirSync(root), ['last']);
  writeFileAtomic(best, 'old');
  keepBest(root, last);
  writeFileAtomic(best, 'new');
  restoreBest(root, last);
  assert.is(readFileSync(best, 'utf8'), 'old');
  restoreBest(root, undefined);
  assert.equal(readdirSync(root), ['last']);
  assert.is(readFileSync(join(last, 'best_model.pth'), 'utf8'), 'old');
});

test.run();
