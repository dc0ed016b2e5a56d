/** Ranks as real processes: they meet in the store of rank 0, and each one's watchdog ends it when another is lost. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type NativeJoinOptions, RANKS_METHODS } from '../../src/engine/native/binding.ts';
import { nativeBinary } from '../engine/engines.ts';

const test = suite('distributed/ranks');
const CHILD = fileURLToPath(new URL('./ranks-child.mjs', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'relic-'));
test.after(() => rmSync(work, { recursive: true, force: true }));

const OPTIONS: NativeJoinOptions = {
  host: '127.0.0.1',
  port: 0,
  rank: 0,
  size: 3,
  runId: 'run-1',
  identity: 'config abc',
  version: '1.0.0',
  hostName: 'here',
  timeoutMs: 60_000,
  heartbeatTimeoutMs: 3000,
  collectiveTimeoutMs: 60_000,
  watchParent: false,
};

interface Told {
  readonly port?: number;
  readonly started?: boolean;
  readonly pids?: readonly number[];
  readonly message?: string;
}

type Options = Partial<NativeJoinOptions> & { failDirectory?: string };

/** A rank in a process of its own. */
class RankProcess {
  readonly child: ChildProcess;
  readonly told: Told[] = [];
  stderr = '';
  readonly ended: Promise<number | NodeJS.Signals | null>;
  private readonly listeners: (() => void)[] = [];

  constructor(options: Options & { mode: string; lateMode?: string }) {
    const argument = JSON.stringify({ ...OPTIONS, binary: nativeBinary?.path, ...options });
    this.child = spawn(process.execPath, [CHILD, argument], { stdio: ['ignore', 'pipe', 'pipe'] });
    let rest = '';
    this.child.stdout?.on('data', (chunk) => {
      const lines = `${rest}${chunk}`.split('\n');
      rest = lines.pop() as string;
      for (const line of lines) this.told.push(JSON.parse(line));
      for (const listener of this.listeners) listener();
    });
    this.child.stderr?.on('data', (chunk) => (this.stderr += chunk));
    this.ended = new Promise((resolve) =>
      this.child.on('close', (code, signal) => {
        resolve(signal ?? code);
        for (const listener of this.listeners) listener();
      }),
    );
  }

  get pid(): number {
    return this.child.pid as number;
  }

  /** The first thing told that has this property. */
  async fact<K extends keyof Told>(key: K): Promise<NonNullable<Told[K]>> {
    for (;;) {
      const found = this.told.find((facts) => facts[key] !== undefined);
      if (found !== undefined) return found[key] as NonNullable<Told[K]>;
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`the process ended before it told its ${key}: ${this.stderr}`);
      }
      await new Promise<void>((resolve) => this.listeners.push(resolve));
    }
  }
}

/** Starts ranks that do what their modes say, with a folder for their last words. */
async function start(modes: readonly string[], options: Options = {}) {
  const failDirectory = mkdtempSync(join(work, 'run-'));
  const common = { failDirectory, size: modes.length, ...options };
  const zero = new RankProcess({ ...common, mode: modes[0] });
  const port = await zero.fact('port');
  const others = modes.slice(1).map((mode, i) => new RankProcess({ ...common, mode, rank: i + 1, port }));
  return { failDirectory, port, ranks: [zero, ...others] };
}

function report(folder: string, rank: number): Record<string, unknown> {
  return JSON.parse(readFileSync(join(folder, `rank.${rank}.fail.json`), 'utf8'));
}

/** All but the victim end with 71 and name it, in a file and in one line. */
async function survivorsName(victim: number, run: Awaited<ReturnType<typeof start>>, reason: RegExp): Promise<void> {
  const { ranks, failDirectory } = run;
  for (const [rank, { ended }] of ranks.entries()) {
    if (rank === victim) continue;
    const status = await ended;
    assert.is(status, 71, `rank ${rank} ended with ${status}: ${ranks[rank].stderr}`);
    const told = report(failDirectory, rank);
    assert.equal([told.rank, told.pid, told.host], [victim, ranks[victim].pid, 'here'], JSON.stringify(told));
    assert.match(String(told.reason), reason);
    assert.is(told.reported_by, rank);
    const line = ranks[rank].stderr;
    assert.match(line, new RegExp(`^relic-train: rank ${rank} ends with 71: rank ${victim} \\(host here, process`));
    assert.match(line, reason);
    assert.is(line.split('\n').length, 2, line);
  }
  assert.equal(
    readdirSync(failDirectory).filter((name) => name.endsWith('.tmp')),
    [],
  );
}

const modesOf = (victim: number, mode: string, others = 'train') =>
  [0, 1, 2].map((rank) => (rank === victim ? mode : others));

if (nativeBinary === undefined) {
  test('no binary of the native engine is here, so there are no ranks', () => {
    assert.is(nativeBinary, undefined);
  });
} else {
  const { binding } = nativeBinary;
  const rejection = (options: Options): Promise<{ code: string; message: string }> =>
    binding.joinRanks({ ...OPTIONS, ...options }).then(
      () => assert.unreachable('the rank has joined'),
      (error) => error,
    );

  test('one rank is a run, and has the methods of the typed mirror', async () => {
    const port = binding.hostStore({ address: '127.0.0.1', port: 0 });
    const ranks = await binding.joinRanks({ ...OPTIONS, size: 1, port });
    const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(ranks)).filter((name) => name !== 'constructor');
    assert.equal(methods.sort(), [...RANKS_METHODS].sort());
    assert.equal(await ranks.allGather('one', Uint8Array.of(7)), [Uint8Array.of(7)]);
    const wrong = await ranks.allGather('two', 7 as never).catch(({ code }) => code);
    assert.is(wrong, 'RELIC_ENGINE_CALL');
    await ranks.leave();
  });

  test('a port in use is told apart, another fault of the address is not', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    const fault = (address: string) => {
      try {
        binding.hostStore({ address, port });
      } catch (error) {
        return error as { code: string; busy?: boolean; message: string };
      }
      throw new Error('the store listens');
    };
    const { code, busy, message } = fault('127.0.0.1');
    assert.equal([code, busy], ['RELIC_RANKS', true]);
    assert.match(message, new RegExp(`port ${port} of 127.0.0.1 is in use`));
    assert.is(fault('192.0.2.1').busy, undefined);
    server.close();
  });

  test('wrong arguments of joinRanks reject its promise', async () => {
    assert.is((await rejection({ port: 1.5 })).code, 'RELIC_ENGINE_CALL');
    const { code, message } = await rejection({ port: 1 });
    assert.is(code, 'RELIC_ENGINE_CALL');
    assert.match(message, /hostStore first/);
  });

  test('missing ranks are listed at the deadline', async () => {
    const { ranks } = await start(['refused', 'refused'], { size: 4, timeoutMs: 2500 });
    for (const { told, ended } of ranks) {
      assert.is(await ended, 70);
      assert.match(told.at(-1)?.message as string, /^ranks 2 and 3 of 4 have not come/);
    }
  });

  test('whoever does not fit the run is refused at once, with both values', async () => {
    const { ranks, port } = await start(['train', 'train']);
    const refusal = async (options: Options) => (await rejection({ size: 2, rank: 1, port, ...options })).message;
    await ranks[1].fact('started');
    assert.match(await refusal({ runId: 'run-2' }), /'run-2' there, and 'run-1' on rank 0/);
    assert.match(await refusal({ size: 5 }), /number of ranks is 5 there, and 2/);
    const twice = await refusal({ hostName: 'elsewhere' });
    assert.match(
      twice,
      new RegExp(`process ${ranks[1].pid} on host here.* and process ${process.pid} on host elsewhere`),
    );
    assert.match(twice, /stale exported RANK/);
    for (const { child } of ranks) child.kill('SIGKILL');
    await Promise.all(ranks.map(({ ended }) => ended));
  });

  test('a run that all leave ends well', async () => {
    const { ranks, failDirectory } = await start(['leave', 'leave', 'leave']);
    for (const { ended, told, stderr } of ranks) {
      assert.equal([await ended, stderr], [0, '']);
      assert.equal(told.at(-1), { read: [4, 2], counted: true, afterwards: 'RELIC_RANKS', again: 'RELIC_RANKS' });
    }
    assert.equal(readdirSync(failDirectory), []);
  });

  for (const victim of [0, 1, 2]) {
    test(`SIGKILL of rank ${victim}`, async () => {
      const run = await start(modesOf(victim, 'train'));
      await run.ranks[victim].fact('started');
      run.ranks[victim].child.kill('SIGKILL');
      await survivorsName(victim, run, /closed without a goodbye/);
    });

    test(`exit of rank ${victim} by itself, while main threads of the others are blocked`, async () => {
      const run = await start(modesOf(victim, 'exit', 'block'));
      await survivorsName(victim, run, /closed without a goodbye/);
      assert.is(await run.ranks[victim].ended, 3);
      assert.not.ok(existsSync(join(run.failDirectory, `rank.${victim}.fail.json`)));
    });

    test(`SIGSTOP of rank ${victim}, which ends with 72 when it goes on`, async () => {
      const run = await start(modesOf(victim, 'train'));
      await run.ranks[victim].fact('started');
      run.ranks[victim].child.kill('SIGSTOP');
      await survivorsName(victim, run, /not heard of for/);
      run.ranks[victim].child.kill('SIGCONT');
      assert.is(await run.ranks[victim].ended, 72, run.ranks[victim].stderr);
      assert.is(report(run.failDirectory, victim).rank, victim);
    });

    test(`an error of rank ${victim}'s own`, async () => {
      const run = await start(modesOf(victim, 'fail'));
      await survivorsName(victim, run, /by its own error: RELIC_IO: no space is left/);
      assert.equal([await run.ranks[victim].ended, run.ranks[victim].stderr], [5, '']);
    });
  }

  test('a rank that others wait for in vain is named, and ends with 72', async () => {
    const run = await start(modesOf(1, 'idle'), { collectiveTimeoutMs: 1000 });
    await survivorsName(1, run, /has not come to allGather 'step', in which 2 of 3 ranks are/);
    assert.is(await run.ranks[1].ended, 72);
  });

  test('a survivor that was stopped for a while blames nobody for it', async () => {
    const { ranks } = await start(modesOf(0, 'train'), { heartbeatTimeoutMs: 4000 });
    await ranks[1].fact('started');
    for (const { child } of ranks) child.kill('SIGSTOP');
    await sleep(4500);
    for (const { child } of ranks) child.kill('SIGCONT');
    await sleep(1500);
    assert.equal(
      ranks.map(({ child, stderr }) => [child.exitCode, stderr]),
      [
        [null, ''],
        [null, ''],
        [null, ''],
      ],
    );
    for (const { child } of ranks) child.kill('SIGKILL');
    await Promise.all(ranks.map(({ ended }) => ended));
  });

  test('nobody reads standard error: the rank ends all the same', async () => {
    const run = await start(modesOf(2, 'train'));
    await run.ranks[2].fact('started');
    for (const { child } of run.ranks) child.stderr?.destroy();
    run.ranks[2].child.kill('SIGKILL');
    for (const rank of [0, 1]) {
      assert.is(await run.ranks[rank].ended, 71);
      assert.is(report(run.failDirectory, rank).rank, 2);
    }
  });

  test('when the launcher is killed no rank is left', async () => {
    const failDirectory = mkdtempSync(join(work, 'run-'));
    const launcher = new RankProcess({ mode: 'launch', size: 2, watchParent: true, failDirectory });
    const pids = await launcher.fact('pids');
    launcher.child.kill('SIGKILL');
    await launcher.ended;
    const isThere = (pid: number) => {
      try {
        return process.kill(pid, 0);
      } catch {
        return false;
      }
    };
    while (pids.some(isThere)) await sleep(50);
    const reasons = [0, 1].map((rank) => report(failDirectory, rank).reason);
    assert.ok(
      reasons.some((reason) => /launcher, process \d+, has died/.test(String(reason))),
      JSON.stringify(reasons),
    );
  });

  for (const mode of ['exitWhileJoining', 'exitWhileWaiting']) {
    test(`process.exit: ${mode}`, async () => {
      const { ranks } = await start([mode], { size: mode === 'exitWhileJoining' ? 2 : 1 });
      assert.equal([await ranks[0].ended, ranks[0].stderr], [5, '']);
    });
  }

  for (const size of [1, 2]) {
    test(`a worker that is ${size === 1 ? 'a rank' : 'joining'} can be terminated`, async () => {
      const child = new RankProcess({ mode: 'terminate', lateMode: 'waitInWorker', size });
      assert.equal([await child.ended, child.stderr], [0, '']);
    });
  }
}

test.run();
