/**
 * Runs `config.yaml` of the working directory and dies at a chosen moment, as if by power failure: the process that
 * check.ts starts, or one of its ranks. Arguments: the rank that dies, and when; then settings. Rank 0 dies at a file system
 * call, counted from 1, one that writes half way; another rank, which writes nothing, at a step. At 0 all live. One that
 * lives prints how many calls or steps it made.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { discoverRank } from '../../src/distributed/discovery.ts';
import type { JoinRequest } from '../../src/distributed/joined.ts';

const [dyingRank, dieAt, ...set] = process.argv.slice(2);
const place = discoverRank();
const end = place.rank === Number(dyingRank) ? Number(dieAt) : 0;
let count = 0;

function die(): never {
  process.kill(process.pid, 'SIGKILL');
  // The signal is certain, but another thread may deliver it.
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

const { writeSync } = fs;
const dying = (real: (...args: never[]) => unknown, before: (...args: never[]) => void = () => {}) =>
  ((...args: never[]) => {
    if (place.rank === 0) {
      count++;
      if (count === end) {
        before(...args);
        die();
      }
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
const { joinRanks } = await import('../../src/distributed/join.ts');
const { runPipeline } = await import('../../src/stages/pipeline.ts');
const real = joinRanks(place, { warn: console.error });
const join = async (request: JoinRequest) => {
  const joined = await real.join(request);
  const progress = (step: number, what: string) => {
    if (place.rank > 0) {
      count++;
      if (count === end) die();
    }
    group.progress(step, what);
  };
  const { group } = joined;
  return Object.assign(joined, { group: { ...group, progress } });
};
const loaded = loadConfig('config.yaml', { set });
await runPipeline(loaded, { resume: 'auto', log: () => {}, join: place.size === 1 ? real : { ...real, join } });
process.stdout.write(String(count));
