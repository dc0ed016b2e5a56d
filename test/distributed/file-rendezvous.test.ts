import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Deadline } from '../../src/distributed/deadline.ts';
import { announce, awaitAnnouncement, rendezvousPath } from '../../src/distributed/file-rendezvous.ts';
import type { RelicError } from '../../src/errors.ts';
import { assertRejectsCode } from '../assert.ts';

const test = suite('distributed/file-rendezvous');
const ADDRESS = { host: '127.0.0.1', port: 20_001 };
let directory: string;

test.before.each(() => {
  directory = mkdtempSync(join(tmpdir(), 'relic-rdzv-'));
});
test.after.each(() => rmSync(directory, { recursive: true, force: true }));

const noTrouble = (error: RelicError) => {
  throw error;
};
const wait = (runId: string, ms: number) => awaitAnnouncement(directory, runId, 'rank 1 of 2', new Deadline(ms));

/** As a run leaves it that was killed. */
function leftBehind(runId: string, said: object = {}): string {
  const path = rendezvousPath(directory, runId);
  const dead = { runId, host: '10.9.9.9', port: 1, nonce: 'dead', beat: 4, by: 'process 1 on n1' };
  writeFileSync(path, JSON.stringify({ ...dead, ...said }));
  return path;
}

test('others find rank 0, also in a folder that it has to make, and the file is gone at the end', async () => {
  const below = join(directory, 'a', 'b');
  const waiting = awaitAnnouncement(below, 'run/1', 'rank 1 of 2', new Deadline(20_000));
  const done = announce(below, 'run/1', ADDRESS, noTrouble);
  assert.equal(await waiting, ADDRESS);
  assert.ok(existsSync(join(below, 'rdzv.run%2F1')));
  done();
  assert.not.ok(existsSync(join(below, 'rdzv.run%2F1')));
});

test('a file that a dead run of the same id left behind is not believed', async () => {
  const path = leftBehind('r');
  await assertRejectsCode(wait('r', 600), 'RELIC_RANKS', /rank 1 of 2 waited.*earlier run \(process 1 on n1\).*0.6 s/);
  const waiting = wait('r', 20_000);
  await pause(150);
  const done = announce(directory, 'r', ADDRESS, noTrouble);
  assert.equal(await waiting, ADDRESS);
  done();
  assert.not.ok(existsSync(path));
});

test('nor is one of another run, or one that says nothing', async () => {
  for (const content of ['', '{}', 'null', JSON.stringify({ runId: 'r', host: 'h', port: 'x', nonce: 'n', beat: 0 })]) {
    writeFileSync(rendezvousPath(directory, 'r'), content);
    await assertRejectsCode(wait('r', 120), 'RELIC_RANKS', /waited for rank 0 to write .*rdzv\.r/);
  }
  let beat = 0;
  const timer = setInterval(() => leftBehind('r', { runId: 'other', beat: beat++ }), 20);
  await assertRejectsCode(wait('r', 400), 'RELIC_RANKS', /waited for rank 0 to write/);
  clearInterval(timer);
});

test('a second rank 0 is told to the first, whose file it keeps', async () => {
  let told: RelicError | undefined;
  announce(directory, 'r', ADDRESS, (error) => (told = error));
  const second = announce(directory, 'r', { ...ADDRESS, port: 2 }, noTrouble);
  for (let i = 0; i < 200 && told === undefined; i++) await pause(50);
  assert.is(told?.code, 'RELIC_RANKS');
  assert.match(String(told?.message), /two processes are rank 0 .*exported RANK may be stale/s);
  assert.is(JSON.parse(readFileSync(rendezvousPath(directory, 'r'), 'utf8')).port, 2);
  second();
});

test('the end of one rank 0 leaves the file of another alone', async () => {
  const first = announce(directory, 'r', ADDRESS, () => {});
  const path = leftBehind('r', { nonce: 'other' });
  first();
  assert.ok(existsSync(path));
});

test.run();
