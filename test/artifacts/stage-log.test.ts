import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { StageLog, type StageLogOptions } from '../../src/artifacts/stage-log.ts';
import { type EventLog, float } from '../../src/log.ts';
import { assertThrowsCode } from '../assert.ts';
import { goldenDir } from '../golden.ts';

const test = suite('artifacts/stage-log');
const MODULE = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'src', 'artifacts', 'stage-log.ts');
const NOON = new Date(2026, 10, 3, 9, 5, 7, 250);
let directory = '';
test.before.each(() => {
  directory = mkdtempSync(join(tmpdir(), 'relic-'));
});
test.after.each(() => rmSync(directory, { recursive: true }));

const options = (more: Partial<StageLogOptions> = {}): StageLogOptions => ({
  ...{ directory, model: 'v3', stage: 'pretrain', runId: 'run', rank: 0, stderr: false, now: () => NOON },
  ...more,
});
const lines = (file: string) => readFileSync(join(directory, file), 'utf8').split('\n').slice(0, -1);
const events = () => lines('events.jsonl').map((line) => JSON.parse(line));

test('lines are those of the original program', () => {
  const golden = readFileSync(
    join(goldenDir(), 'pipeline/full_pipeline/logs/v3/pretrain/golden_pretrain/log.log'),
    'utf8',
  ).split('\n');
  const stamp = golden[0].slice(0, 19);
  const log = new StageLog(options({ runId: 'golden_pretrain', now: () => new Date(stamp.replace(' ', 'T')) }));
  log.event('pipeline_bootstrap', {
    ...{ stage: 'pretrain', run_id: 'golden_pretrain', mode: 'full_pipeline', seed: 47, rank: 0, local_rank: 0 },
    ...{ world_size: 1, ddp_enabled: false, is_distributed: false, log_dir: 'logs/v3/pretrain/golden_pretrain' },
  });
  assert.is(lines('log.log')[0], golden[0]);
  const heartbeat = golden.find((line) => line.includes('Epoch 1 step 10/30'))!;
  const text = heartbeat.slice(heartbeat.indexOf('Epoch'));
  log.heartbeat(text, { epoch: 1 });
  assert.is(lines('log.log')[1].slice(19), heartbeat.slice(19));
  log.close();
});

test('levels, floats, and times with leading zeros', () => {
  const log = new StageLog(options());
  log.event('epoch_complete', { epoch: 1, loss: float(1), best: 0.25, path: 'a b.pth', none: null, ok: true });
  log.warning('careful');
  log.error('failed', { code: 'RELIC_IO' });
  log.close();
  const start = (level: string) => `2026-11-03 09:05:07 ${level} relic.v3.pretrain.run.rank0 - `;
  assert.equal(lines('log.log'), [
    `${start('INFO')}epoch_complete | best=0.250000 | epoch=1 | loss=1.000000 | none=None | ok=True | path=a b.pth`,
    `${start('WARNING')}careful`,
    `${start('ERROR')}failed | code=RELIC_IO`,
  ]);
});

test('the JSONL twin has the same records in full precision', () => {
  const log = new StageLog(options());
  log.event('numbers', {
    third: float(1 / 3),
    nan: float(Number.NaN),
    far: Number.NEGATIVE_INFINITY,
    big: 2n ** 70n,
    n: 3,
  });
  log.heartbeat('Epoch 1 step 2/3', { step: 2, gone: undefined });
  log.warning('careful', { path: 'a\nb', none: null });
  log.close();
  const base = { time: NOON.getTime(), logger: 'relic.v3.pretrain.run.rank0' };
  assert.equal(events(), [
    {
      level: 30,
      ...base,
      event: 'numbers',
      third: 1 / 3,
      nan: 'NaN',
      far: '-Infinity',
      big: '1180591620717411303424',
      n: 3,
    },
    { level: 30, ...base, event: 'heartbeat', step: 2 },
    { level: 40, ...base, event: 'careful', path: 'a\nb', none: null },
  ]);
  assert.ok(lines('events.jsonl')[0].startsWith(`{"level":30,"time":${NOON.getTime()},"logger":"relic.`));
});

test('one record is one line, whatever its values hold', () => {
  const log = new StageLog(options());
  log.event('name', { path: 'a\nb\r\n\tc\u001b[31m\u2028d' });
  log.heartbeat('one\ntwo');
  log.close();
  const bodies = lines('log.log').map((line) => line.slice(line.indexOf(' - ') + 3));
  assert.equal(bodies, ['name | path=a\\nb\\r\\n\\tc\\u001b[31m\\u2028d', 'one\\ntwo']);
});

test('a second log appends', () => {
  for (const name of ['first', 'second']) {
    const log = new StageLog(options());
    log.event(name);
    log.close();
    log.event('after close');
  }
  assert.equal(
    events().map(({ event }) => event),
    ['first', 'second'],
  );
  assert.is(lines('log.log').length, 2);
});

test('ranks above 0 leave no trace', () => {
  const log: EventLog = new StageLog(options({ rank: 1, directory: join(directory, 'no') }));
  log.event('a');
  log.close();
  assert.equal(readdirSync(directory), []);
});

test('a directory that is not there, and a full disk', () => {
  const missing = () => new StageLog(options({ directory: join(directory, 'no') }));
  assertThrowsCode(missing, 'RELIC_IO', /events\.jsonl: cannot open log/);
  for (const file of ['events.jsonl', 'log.log']) {
    symlinkSync('/dev/full', join(directory, file));
    const log = new StageLog(options());
    assertThrowsCode(
      () => log.event('a'),
      'RELIC_NO_SPACE',
      new RegExp(`${file.replace('.', '\\.')}: cannot write log`),
    );
    log.close();
    for (const name of readdirSync(directory)) rmSync(join(directory, name));
  }
});

/** The source of a program that opens a log in `directory` and then runs `code`. */
const program = (code: string) => `
  const { StageLog } = await import(${JSON.stringify(MODULE)});
  const log = new StageLog({ directory: ${JSON.stringify(directory)}, model: 'v3', stage: 'pretrain', runId: 'run',
    rank: 0, beforeConsole: () => process.stderr.write('[clear]') });
  ${code}`;
const NODE = ['--import', 'tsx', '--input-type=module', '-e'];

test('lines go to stderr too, after the progress line has been cleared', () => {
  const { stderr, stdout } = spawnSync(process.execPath, [...NODE, program(`log.event('one'); log.event('two');`)]);
  const console = stderr.toString().replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'T');
  const line = (name: string) => `[clear]T INFO relic.v3.pretrain.run.rank0 - ${name}\n`;
  assert.is(console, line('one') + line('two'));
  assert.is(stdout.length, 0);
});

test('SIGKILL loses no line', async () => {
  const code = `for (let i = 0; i < 1000; i++) log.event('step', { i });
    process.stdout.write('ready'); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, [...NODE, program(code)], { stdio: ['ignore', 'pipe', 'ignore'] });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('close', resolve));
  assert.is(lines('log.log').length, 1000);
  assert.equal(
    events().map(({ i }) => i),
    Array.from({ length: 1000 }, (_, i) => i),
  );
});

test('half a record of a killed process is taken away, however long it is', () => {
  for (const torn of ['{"half', 'x'.repeat(200_000)]) {
    for (const file of ['log.log', 'events.jsonl']) writeFileSync(join(directory, file), `{"event":"whole"}\n${torn}`);
    const log = new StageLog(options());
    log.event('next');
    log.close();
    assert.equal(
      events().map(({ event }) => event),
      ['whole', 'next'],
    );
    assert.match(lines('log.log')[1], /^2026-11-03 09:05:07 INFO .* - next$/);
  }
  for (const file of ['log.log', 'events.jsonl']) writeFileSync(join(directory, file), 'y'.repeat(2 ** 16));
  new StageLog(options()).close();
  assert.equal([lines('log.log'), lines('events.jsonl')], [[], []]);
});

test.run();
