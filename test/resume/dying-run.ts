/**
 * Runs `config.yaml` of the working directory and dies at a chosen file system call, as if by power failure: the process
 * that check.ts starts. Arguments: the call at which to die, counted from 1, or 0 to live; then settings. Calls that
 * write die half way. A run that lives prints how many calls it made.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const [dieAt, ...set] = process.argv.slice(2);
let calls = 0;

function die(): never {
  process.kill(process.pid, 'SIGKILL');
  // The signal is certain, but another thread may deliver it.
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

const { writeSync } = fs;
const dying = (real: (...args: never[]) => unknown, before: (...args: never[]) => void = () => {}) =>
  ((...args: never[]) => {
    calls++;
    if (calls === Number(dieAt)) {
      before(...args);
      die();
    }
    return real(...args);
  }) as never;

const half = (fd: number, data: Uint8Array, offset: number, length: number) =>
  void (data instanceof Uint8Array && writeSync(fd, data, offset, length >> 1));
Object.assign(fs, {
  writeSync: dying(writeSync as never, half as never),
  renameSync: dying(fs.renameSync as never),
  fsyncSync: dying(fs.fsyncSync as never),
  ftruncateSync: dying(fs.ftruncateSync as never),
  mkdirSync: dying(fs.mkdirSync as never),
  rmSync: dying(fs.rmSync as never),
  linkSync: dying(fs.linkSync as never),
});
syncBuiltinESMExports();

const { loadConfig } = await import('../../src/config/load.ts');
const { runPipeline } = await import('../../src/stages/pipeline.ts');
await runPipeline(loadConfig('config.yaml', { set }), { resume: 'auto', log: () => {} });
process.stdout.write(String(calls));
