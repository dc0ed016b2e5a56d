#!/usr/bin/env node
/** The program's entry: signals, stack traces in TypeScript lines, streams that may close early, and the exit status. */
import { listenEarly } from './cli/signals.ts';

listenEarly();
process.setSourceMapsEnabled(true);

for (const stream of [process.stdout, process.stderr]) {
  // A reader that went away, as `| head` does, is no failure of this program.
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

const { main } = await import('./cli/main.ts');
const status = await main(process.argv.slice(2), {
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
});
// A library that waits for other ranks would keep the process; what was printed must not be lost.
const flushed = (stream: NodeJS.WriteStream) => new Promise<void>((resolve) => stream.write('', () => resolve()));
await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
process.exit(status);
