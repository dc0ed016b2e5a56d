// One rank of a run, for ranks.test.ts: its only argument is JSON, the options of `joinRanks` with `binary` (the addon's
// path) and `mode`. Rank 0 hosts the store when its port is 0. Plain JavaScript, so that nothing but the addon is tested.
import { spawn } from 'node:child_process';
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const { binary, mode, lateMode, failDirectory, ...options } = JSON.parse(isMainThread ? process.argv[2] : workerData);
const addon = { exports: {} };
process.dlopen(addon, binary);
const { hostStore, joinRanks } = addon.exports;
const last = options.rank === options.size - 1;

const tell = (facts) => writeSync(1, `${JSON.stringify(facts)}\n`);
const join = async () => {
  const port = options.port === 0 ? hostStore({ address: '127.0.0.1', port: 0 }) : options.port;
  tell({ port });
  const ranks = await joinRanks({ ...options, port });
  if (failDirectory !== undefined) ranks.setFailDirectory(failDirectory);
  return ranks;
};
const block = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);

/** Takes `most` steps with a gather each. */
async function steps(ranks, most) {
  for (let step = 0; step < most; step++) {
    ranks.progress(step, 'training');
    const all = await ranks.allGather('step', Uint8Array.of(options.rank, step));
    const good = all.length === options.size && all.every((bytes, i) => bytes[0] === i && bytes[1] === step % 256);
    if (!good) throw new Error(`step ${step} gathered ${JSON.stringify(all)}`);
    if (step === 3) tell({ started: true });
    await sleep(20);
  }
}

const MODES = {
  async train() {
    const ranks = await join();
    // Whoever is told of an error between ranks looks for its cause.
    await steps(ranks, Number.POSITIVE_INFINITY).catch(({ code, message }) => ranks.fail(code, message));
    process.exit(9);
  },
  async leave() {
    const ranks = await join();
    await steps(ranks, 10);
    const value = await ranks.broadcast('value', ranks.rank() === 0 ? Uint8Array.of(4, 2) : null);
    await ranks.barrier('end', 0);
    if (last) await ranks.set('key', value);
    const read = await ranks.get('key', 20000);
    const count = await ranks.add('count', 1);
    const left = ranks.leave();
    const afterwards = await ranks.barrier('late', 0).catch(({ code }) => code);
    await left;
    const again = await ranks.leave().catch(({ code }) => code);
    tell({ read: [...read], counted: count > 0 && count <= ranks.size(), afterwards, again });
    process.exit(0);
  },
  async exit() {
    await steps(await join(), 6);
    process.exit(3);
  },
  async fail() {
    const ranks = await join();
    await steps(ranks, 6);
    ranks.fail('RELIC_IO', 'no space is left');
    process.exit(5);
  },
  async block() {
    await steps(await join(), 6);
    block();
  },
  // Calls nothing while others wait for it, with a main thread that works.
  async idle() {
    await steps(await join(), 6);
    await sleep(600000);
  },
  async refused() {
    const { code, message } = await join().catch((error) => error);
    tell({ code, message });
    process.exit(70);
  },
  async exitWhileJoining() {
    join();
    await sleep(300);
    process.exit(5);
  },
  async exitWhileWaiting() {
    const ranks = await join();
    ranks.get('nothing', 600000);
    ranks.barrier('after', 0);
    await sleep(300);
    process.exit(5);
  },
  async terminate() {
    const worker = new Worker(fileURLToPath(import.meta.url), {
      workerData: JSON.stringify({ ...options, binary, mode: lateMode }),
    });
    await new Promise((resolve) => worker.once('message', resolve));
    await sleep(300);
    await worker.terminate();
    tell({ terminated: true });
  },
  async waitInWorker() {
    join().then((ranks) => ranks.get('nothing', 600000));
    parentPort.postMessage('joining');
    await sleep(600000);
  },
  // Starts all ranks, as a launcher does, and waits.
  async launch() {
    const start = (rank, port) => {
      const child = { ...options, binary, failDirectory, mode: 'train', rank, port };
      return spawn(process.execPath, [fileURLToPath(import.meta.url), JSON.stringify(child)], {
        stdio: ['ignore', rank === 0 ? 'pipe' : 'ignore', 'ignore'],
      });
    };
    const zero = start(0, 0);
    zero.stdout.once('data', (line) => {
      const { port } = JSON.parse(String(line).split('\n')[0]);
      const others = Array.from({ length: options.size - 1 }, (_, i) => start(i + 1, port));
      zero.stdout.on('data', () => tell({ pids: [zero, ...others].map(({ pid }) => pid) }));
    });
    await sleep(600000);
  },
};

await MODES[mode]();
