/** Leaving long work between two steps: the event loop gets its turn, and a request to stop is heard. */
import { setImmediate as eventLoopTurn } from 'node:timers/promises';
import { RelicError } from '../errors.ts';

/**
 * Lets timers, signals and progress run, then fails if a stop was asked for.
 *
 * @throws the signal's reason where that is a RelicError, else RELIC_INTERRUPTED.
 */
export async function breathe(signal: AbortSignal | undefined): Promise<void> {
  await eventLoopTurn();
  throwIfInterrupted(signal);
}

/** @throws as {@link breathe}. */
export function throwIfInterrupted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  throw signal.reason instanceof RelicError
    ? signal.reason
    : new RelicError('RELIC_INTERRUPTED', 'interrupted on request; the run can be continued');
}

/** Whether this is the failure of work that was asked to stop. */
export function isInterruption(error: unknown): boolean {
  return error instanceof RelicError && (error.code === 'RELIC_INTERRUPTED' || error.code === 'RELIC_PREEMPTED');
}
