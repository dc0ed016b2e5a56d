import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type RunFacts, readManifest, writeManifest } from '../../src/artifacts/manifest.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('artifacts/manifest');
const facts = (files: string[]): RunFacts => ({
  status: 'complete',
  package: { name: 'relic-train', version: '0.1.0' },
  engine: { name: 'typescript', reason: 'no native engine is installed', device: 'cpu' },
  seed: 47,
  configHash: 'abc',
  config: { run_config: { mode: 'train_only' } },
  startedAt: new Date(0),
  endedAt: new Date(90_500),
  files,
});
let directory = '';
test.before(() => {
  directory = mkdtempSync(join(tmpdir(), 'relic-'));
});
test.after(() => rmSync(directory, { recursive: true }));

test('run.json tells the program, machine, engine, config, times and files', () => {
  const file = join(directory, 'best_model.pth');
  writeFileSync(file, 'abc');
  const path = writeManifest(directory, facts([file]));
  assert.is(path, join(directory, 'run.json'));
  assert.equal(JSON.parse(readFileSync(path, 'utf8')), {
    schema_version: 1,
    status: 'complete',
    package: { name: 'relic-train', version: '0.1.0' },
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    engine: { name: 'typescript', reason: 'no native engine is installed', device: 'cpu' },
    environment: {},
    seed: 47,
    started_at: '1970-01-01T00:00:00.000Z',
    ended_at: '1970-01-01T00:01:30.500Z',
    config_hash: 'abc',
    config: { run_config: { mode: 'train_only' } },
    // The SHA-256 of "abc" (FIPS 180-2, appendix B.1).
    files: [{ path: file, bytes: 3, sha256: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad' }],
  });
});

test('what continuing a run needs is read back as it was written', () => {
  const run = {
    stages: { pretrain: 'p', finetune: 'f' },
    ranks: 2,
    startedAt: new Date(5000),
    csvRows: 3,
    process: { host: 'here', pid: 7, started: '99' },
  };
  const path = writeManifest(directory, { ...facts([]), status: 'running', endedAt: undefined, run });
  assert.is(JSON.parse(readFileSync(path, 'utf8')).ended_at, null);
  assert.equal(readManifest(directory), { status: 'running', config: { run_config: { mode: 'train_only' } }, run });
});

test('where there is no manifest, or one that tells of no run, there is nothing to continue', () => {
  assert.is(readManifest(join(directory, 'no')), undefined);
  const path = writeManifest(directory, facts([]));
  assert.is(readManifest(directory), undefined);
  assert.is(readManifest(path), undefined);
  writeFileSync(path, '{"status":');
  assert.is(readManifest(directory), undefined);
});

test('a file that is not there is an error', () => {
  assertThrowsCode(() => writeManifest(directory, facts([join(directory, 'no')])), 'RELIC_IO', /no: cannot read file/);
});

test.run();
