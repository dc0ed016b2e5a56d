/** Ctrl-C and SIGTERM: the first asks the work to stop between steps, the second ends the process at once. */
import { EXIT, RelicError } from '../errors.ts';

const STOPPED = 'Stopped before the end';
const KEPT = 'the files written so far are whole; start again to run it from the beginning';

const SIGNALS = {
  SIGINT: () => new RelicError('RELIC_INTERRUPTED', STOPPED, { received: 'SIGINT', fix: KEPT }),
  SIGTERM: () => new RelicError('RELIC_TERMINATED', STOPPED, { received: 'SIGTERM', fix: KEPT }),
} as const;

/**
 * Runs `work` with a signal that the first SIGINT or SIGTERM aborts.
 * @throws RelicError RELIC_INTERRUPTED or RELIC_TERMINATED when the work stopped because of it.
 */
export async function stoppable<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const handlers = Object.entries(SIGNALS).map(([name, reason]) => {
    const handler = () => {
      if (controller.signal.aborted) process.exit(name === 'SIGINT' ? EXIT.interrupted : EXIT.terminated);
      controller.abort(reason());
    };
    process.on(name, handler);
    return [name, handler] as const;
  });
  try {
    return await work(controller.signal);
  } finally {
    for (const [name, handler] of handlers) process.off(name, handler);
  }
}
