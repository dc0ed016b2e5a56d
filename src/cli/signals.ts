/**
 * Signals that ask a run to stop: the first lets it finish its step and save, the second ends the process at once.
 * Schedulers send SIGTERM, or SIGUSR1 ahead of a time limit; Ctrl-C is SIGINT.
 */
import { EXIT, RelicError } from '../errors.ts';

const GO_ON = 'start again with --resume auto to go on from here';

const stopped = (code: 'RELIC_INTERRUPTED' | 'RELIC_PREEMPTED', signal: string) => () =>
  new RelicError(code, 'Stopped before the end', { received: signal, fix: GO_ON });

const REASONS = {
  SIGINT: stopped('RELIC_INTERRUPTED', 'SIGINT'),
  SIGTERM: stopped('RELIC_PREEMPTED', 'SIGTERM'),
  SIGUSR1: stopped('RELIC_PREEMPTED', 'SIGUSR1'),
} as const;

let early = false;

const ignore = (): void => {};

/** To be called before anything else: without a listener Node.js answers SIGUSR1 by opening its debugger. */
export function listenEarly(): void {
  process.on('SIGUSR1', () => {
    early = true;
  });
}

/**
 * Runs `work` with a signal that the first SIGINT, SIGTERM or SIGUSR1 aborts, also a SIGUSR1 that came before.
 * @throws RelicError RELIC_INTERRUPTED or RELIC_PREEMPTED when the work stopped because of it.
 */
export async function stoppable<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const handlers = Object.entries(REASONS).map(([name, reason]) => {
    const handler = () => {
      if (controller.signal.aborted) process.exit(name === 'SIGINT' ? EXIT.interrupted : EXIT.terminated);
      controller.abort(reason());
    };
    process.on(name, handler);
    return [name, handler] as const;
  });
  if (early) controller.abort(REASONS.SIGUSR1());
  early = false;
  try {
    return await work(controller.signal);
  } finally {
    // When one rank of a run that was stopped has ended, its launcher sends SIGTERM to those that are about to: they must
    // end with the status of a saved run nonetheless.
    if (controller.signal.aborted && !process.listeners('SIGTERM').includes(ignore)) process.on('SIGTERM', ignore);
    for (const [name, handler] of handlers) process.off(name, handler);
  }
}
