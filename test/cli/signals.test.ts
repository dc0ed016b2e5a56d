import { setTimeout as pause } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { listenEarly, stoppable } from '../../src/cli/signals.ts';
import { assertRejectsCode } from '../assert.ts';

/** Work that ends when it is told to stop, as the trainer does between two steps. */
const untilStopped = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

const test = suite('cli/signals');

test('SIGINT, SIGTERM and SIGUSR1 stop the work; only a scheduler can expect it to be continued', async () => {
  const interrupted = stoppable(untilStopped);
  process.emit('SIGINT');
  assert.is((await assertRejectsCode(interrupted, 'RELIC_INTERRUPTED', /--resume auto/)).exitCode, 130);
  const terminated = stoppable(untilStopped);
  process.emit('SIGTERM');
  assert.is((await assertRejectsCode(terminated, 'RELIC_PREEMPTED')).exitCode, 85);
  const userSignal = stoppable(untilStopped);
  process.emit('SIGUSR1');
  assert.is((await assertRejectsCode(userSignal, 'RELIC_PREEMPTED', /received SIGUSR1/)).exitCode, 85);
});

test('a second signal ends the process at once', async () => {
  const exit = process.exit;
  const statuses: unknown[] = [];
  let finish = () => {};
  const work = stoppable(() => new Promise<void>((resolve) => (finish = resolve)));
  process.exit = ((status: number) => void statuses.push(status)) as typeof process.exit;
  try {
    process.emit('SIGINT');
    assert.equal(statuses, []);
    process.emit('SIGINT');
    process.emit('SIGTERM');
    process.emit('SIGUSR1');
    assert.equal(statuses, [130, 143, 143]);
  } finally {
    process.exit = exit;
    finish();
    await work;
  }
});

test('a SIGUSR1 from before the work stops it at its start, and no other work', async () => {
  const before = process.listeners('SIGUSR1');
  listenEarly();
  process.emit('SIGUSR1');
  const seen = await stoppable(async ({ aborted }) => aborted);
  const later = await stoppable(async ({ aborted }) => aborted);
  for (const listener of process.listeners('SIGUSR1')) {
    if (!before.includes(listener)) process.off('SIGUSR1', listener);
  }
  assert.equal([seen, later], [true, false]);
});

test('once a stopped run is saved, a SIGTERM does not change how the process ends', async () => {
  const stopped = stoppable(untilStopped);
  process.emit('SIGUSR1');
  await assertRejectsCode(stopped, 'RELIC_PREEMPTED');
  // Without a listener it would end this process, and with it the test.
  process.kill(process.pid, 'SIGTERM');
  await pause(100);
  assert.is(process.exitCode, undefined);
});

test('no handler stays behind, whatever the work did', async () => {
  const before = process.listenerCount('SIGINT');
  assert.is(await stoppable(async () => 7), 7);
  await stoppable(async () => {
    throw new Error('no');
  }).catch(() => {});
  assert.is(process.listenerCount('SIGINT'), before);
});

test.run();
