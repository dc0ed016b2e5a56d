import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RelicError } from '../../src/errors.ts';
import {
  breathe,
  breatheTogether,
  isInterruption,
  throwIfInterrupted,
  unlessInterrupted,
} from '../../src/train/interruption.ts';
import { assertRejectsCode, assertThrowsCode } from '../assert.ts';
import { inProcessGroups } from '../distributed/in-process.ts';

const test = suite('interruption');

test('without a request nothing is thrown', async () => {
  throwIfInterrupted(undefined);
  throwIfInterrupted(new AbortController().signal);
  await breathe(undefined);
});

test('a request is an interruption, with the reason it gives', () => {
  assertThrowsCode(() => throwIfInterrupted(AbortSignal.abort()), 'RELIC_INTERRUPTED');
  const reason = new RelicError('RELIC_PREEMPTED', 'SIGTERM');
  const error = assertThrowsCode(() => throwIfInterrupted(AbortSignal.abort(reason)), 'RELIC_PREEMPTED');
  assert.is(error, reason);
});

test('timers and handlers run before the request is looked at', async () => {
  const controller = new AbortController();
  setImmediate(() => controller.abort());
  await assertRejectsCode(breathe(controller.signal), 'RELIC_INTERRUPTED');
});

test('a request ends the waiting for work that does not end', async () => {
  const controller = new AbortController();
  setImmediate(() => controller.abort(new RelicError('RELIC_PREEMPTED', 'SIGTERM')));
  await assertRejectsCode(unlessInterrupted(new Promise(() => {}), controller.signal), 'RELIC_PREEMPTED');
  assert.is(await unlessInterrupted(Promise.resolve(3), new AbortController().signal), 3);
  await assertRejectsCode(
    unlessInterrupted(Promise.reject(new RelicError('RELIC_RANKS', 'x')), new AbortController().signal),
    'RELIC_RANKS',
  );
});

test('ranks stop together', async () => {
  const groups = inProcessGroups(2);
  await Promise.all(groups.map((group) => breatheTogether(group, undefined)));
  const asked = AbortSignal.abort(new RelicError('RELIC_INTERRUPTED', 'Ctrl-C'));
  const stopped = groups.map((group) => breatheTogether(group, group.rank === 0 ? asked : undefined));
  await Promise.all([
    assertRejectsCode(stopped[0], 'RELIC_INTERRUPTED'),
    assertRejectsCode(stopped[1], 'RELIC_PREEMPTED', /another rank/),
  ]);
});

test('only requests to stop are interruptions', () => {
  assert.is(isInterruption(new RelicError('RELIC_INTERRUPTED', '')), true);
  assert.is(isInterruption(new RelicError('RELIC_PREEMPTED', '')), true);
  assert.is(isInterruption(new RelicError('RELIC_IO', '')), false);
  assert.is(isInterruption(new Error('RELIC_INTERRUPTED')), false);
});

test.run();
