/**
 * One rank of `comm.test.ts`: `comm-rank.ts MODE FOLDER LAUNCHER [MPI_LIBRARY]`, started by an mpirun. What it has to tell goes
 * to a file of its own, since launchers tear lines.
 */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NativeComm } from '../../../src/engine/native/binding.ts';
import { type CommOptions, openComm } from '../../../src/engine/native/comm.ts';
import { nativeBinary } from '../engines.ts';
import { SMALL_BUCKETS, STEPS, settingsOf, shardOf, trainingModel } from './comm-run.ts';

const [mode, folder, launcher, mpiLibrary] = process.argv.slice(2);
const number = (...names: string[]) =>
  Number(names.map((name) => process.env[name]).find((value) => value !== undefined));
const rank = number('OMPI_COMM_WORLD_RANK', 'PMI_RANK');
const size = number('OMPI_COMM_WORLD_SIZE', 'PMI_SIZE');
const tell = (facts: object) => writeFileSync(join(folder, `rank.${rank}.json`), JSON.stringify(facts));
const options: CommOptions = {
  backend: launcher === 'other' ? 'mpi' : 'auto',
  rank,
  size,
  launcher: launcher as CommOptions['launcher'],
  ...(mpiLibrary === undefined ? {} : { mpiLibrary }),
};

/** Every rank starts elsewhere and takes over rank 0's state; then all train, and rank 1 asks to stop at the last step. */
async function train(comm: NativeComm): Promise<void> {
  const model = trainingModel(rank + 1, { comm, bucketBytes: SMALL_BUCKETS });
  await model.synchronize?.('everything');
  const losses = [];
  for (let step = 0; step < STEPS; step++) {
    const stop = rank === 1 && step === STEPS - 1;
    losses.push(await model.trainStep([shardOf(rank, step)], { ...settingsOf(step), stop }));
  }
  const hash = createHash('sha256');
  for (const values of model.state().values()) hash.update(values);
  const { waited, total } = model.collectiveSeconds!();
  tell({ losses, state: hash.digest('hex'), description: comm.description(), counted: waited > 0 && total > 0 });
  model.dispose();
}

const MODES: Readonly<Record<string, () => Promise<void>>> = {
  async train() {
    const comm = await openComm(nativeBinary!, options);
    const greeting = await comm.broadcast(rank === 0 ? Buffer.from('from rank 0') : null);
    if (Buffer.from(greeting).toString() !== 'from rank 0') throw new Error(`received ${greeting}`);
    if ((await comm.broadcast(rank === 0 ? new Uint8Array(0) : null)).length !== 0) throw new Error('received bytes');
    await train(comm);
    await comm.close();
  },
  /** What opening says, and what a second opening and a call after the end say. */
  async refusals() {
    const codeOf = (promise: Promise<unknown>) => promise.then(String, ({ code, message }) => `${code} ${message}`);
    const comm = await openComm(nativeBinary!, options).catch((error: Error) => error);
    if (comm instanceof Error) return tell({ opened: comm.message, code: (comm as Error & { code: string }).code });
    const second = await codeOf(openComm(nativeBinary!, options));
    const wrongRank = await codeOf(comm.broadcast(rank === 0 ? null : new Uint8Array(1)));
    await comm.close();
    tell({
      opened: 'yes',
      second,
      wrongRank,
      later: await codeOf(comm.broadcast(rank === 0 ? new Uint8Array(1) : null)),
    });
  },
  /** Rank 0 waits for a call that rank 1 never makes, and exits, long before rank 1 does. */
  async exitWaiting() {
    const comm = await openComm(nativeBinary!, options);
    if (rank !== 0) return new Promise((resolve) => setTimeout(resolve, 20_000));
    comm.broadcast(new Uint8Array(1e7)).catch(() => undefined);
    setTimeout(() => {
      tell({ exits: true });
      process.exit(7);
    }, 200);
  },
};

await MODES[mode]();
