/** Writing to the terminal or pipe behind a descriptor so that no line is lost and none can end a training. */
import { writeSync } from 'node:fs';

const RETRY_MS = 2;
const sleeper = new Int32Array(new SharedArrayBuffer(4));

/**
 * Writes `text` to `fd` (2 is stderr). A full non-blocking pipe, as mpirun gives, is waited for; a reader that has
 * gone is ignored, since the log files have the line.
 */
export function writeConsole(text: string, fd = 2): void {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(fd, bytes, done);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      Atomics.wait(sleeper, 0, 0, RETRY_MS);
    }
  }
}
