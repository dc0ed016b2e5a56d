/** Leaving long work between two steps: the event loop gets its turn, and a request to stop is heard. */
import { setImmediate as eventLoopTurn } from 'node:timers/promises';
import type { Group } from '../distributed/group.ts';
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
  if (signal?.aborted) throw interruption(signal);
}

/**
 * As {@link breathe}, for all ranks together: they stop when one of them was asked to.
 * @throws as {@link interruption} says.
 */
export async function breatheTogether(group: Group, signal: AbortSignal | undefined): Promise<void> {
  if (group.size === 1) return breathe(signal);
  await eventLoopTurn();
  const votes = await group.allGather('stop', Uint8Array.of(signal?.aborted ? 1 : 0));
  if (votes.some(([vote]) => vote === 1)) throw interruption(signal);
}

/** The reason to stop: that of this rank's signal, else another rank's request. */
export function interruption(signal: AbortSignal | undefined): RelicError {
  if (signal?.reason instanceof RelicError) return signal.reason;
  if (signal?.aborted) return new RelicError('RELIC_INTERRUPTED', 'interrupted on request; the run can be continued');
  return new RelicError('RELIC_PREEMPTED', 'Stopped before the end', {
    received: 'a request to another rank',
    fix: 'start again with --resume auto to go on from here',
  });
}

/**
 * What `work` gives, or the reason to stop as soon as that is asked for; the work itself goes on then.
 * @throws as {@link interruption} says.
 */
export async function unlessInterrupted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const stop = () => reject(interruption(signal));
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

/** Whether this is the failure of work that was asked to stop. */
export function isInterruption(error: unknown): boolean {
  return error instanceof RelicError && (error.code === 'RELIC_INTERRUPTED' || error.code === 'RELIC_PREEMPTED');
}
