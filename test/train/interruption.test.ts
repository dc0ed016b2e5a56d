import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RelicError } from '../../src/errors.ts';
import { breathe, isInterruption, throwIfInterrupted } from '../../src/train/interruption.ts';
import { assertRejectsCode, assertThrowsCode } from '../assert.ts';

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

test('only requests to stop are interruptions', () => {
  assert.is(isInterruption(new RelicError('RELIC_INTERRUPTED', '')), true);
  assert.is(isInterruption(new RelicError('RELIC_PREEMPTED', '')), true);
  assert.is(isInterruption(new RelicError('RELIC_IO', '')), false);
  assert.is(isInterruption(new Error('RELIC_INTERRUPTED')), false);
});

test.run();
