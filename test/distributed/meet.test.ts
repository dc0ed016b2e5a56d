import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { portsOf } from '../../src/distributed/address.ts';
import { type MeetOptions, meet } from '../../src/distributed/meet.ts';
import type { Meeting, RankPlace } from '../../src/distributed/place.ts';
import { assertRejectsCode } from '../assert.ts';

const test = suite('distributed/meet');

function place(rank: number, meeting: Meeting, more: Partial<RankPlace> = {}): RankPlace {
  const here = { rank, size: 2, localRank: rank, localSize: 2 };
  return { ...here, source: 'a test', launched: true, runId: 'r', meeting, others: [], ...more };
}

/** Takes the second port offered, or the only one. */
function listener() {
  const asked: { host: string; ports: number[] }[] = [];
  const listen: MeetOptions['listen'] = async (host, ports) => {
    asked.push({ host, ports: [...ports] });
    return { host, port: asked[0].ports[1] ?? asked[0].ports[0] };
  };
  return { listen, asked };
}

const mustNotListen: MeetOptions['listen'] = () => Promise.reject(new Error('only rank 0 listens'));
const [FIRST, SECOND] = portsOf('r', true);

test('one rank listens nowhere and has a run id of its own', async () => {
  const alone = place(0, { kind: 'alone' }, { size: 1, runId: null });
  const [one, other] = [await meet(alone, { listen: mustNotListen }), await meet(alone, { listen: mustNotListen })];
  assert.match(one.runId, /^[0-9a-f]{16}$/);
  assert.is.not(one.runId, other.runId);
  assert.is(one.port, 0);
});

test('at an address all were told: its port and no other, or the port of the run', async () => {
  for (const [port, expected] of [
    [5000, 5000],
    [null, FIRST],
  ] as const) {
    const meeting = { kind: 'address', host: '127.0.0.1', port } as const;
    const { listen, asked } = listener();
    const zero = await meet(place(0, meeting), { listen });
    const one = await meet(place(1, meeting), { listen: mustNotListen });
    assert.equal(asked, [{ host: '127.0.0.1', ports: [expected] }]);
    const told = ({ runId, host, port }: typeof zero) => ({ runId, host, port });
    assert.equal([told(zero), told(one)], Array(2).fill({ runId: 'r', host: '127.0.0.1', port: expected }));
  }
});

test('by a file: on the port that was free', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'relic-meet-'));
  try {
    const meeting = { kind: 'file', directory } as const;
    const { listen, asked } = listener();
    const waiting = meet(place(1, meeting), { listen: mustNotListen, timeoutMs: 20_000 });
    const zero = await meet(place(0, meeting), { listen });
    const one = await waiting;
    assert.equal([one.host, one.port], ['127.0.0.1', SECOND]);
    assert.is(asked[0].ports.length, 64);
    one.done();
    assert.ok(existsSync(join(directory, 'rdzv.r')));
    zero.done();
    assert.not.ok(existsSync(join(directory, 'rdzv.r')));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test('by a broadcast of MPI, wherever one is at hand and nobody was told an address', async () => {
  for (const meeting of [
    { kind: 'mpi', port: null },
    { kind: 'pmi', fd: 999, port: null },
    { kind: 'local', port: null },
    { kind: 'slurm', nodes: 'n[1-2]', port: null },
  ] as const) {
    let sent: (bytes: Uint8Array) => void = () => {};
    const wire = new Promise<Uint8Array>((resolve) => (sent = resolve));
    const mpiBroadcast = async (bytes: Uint8Array | null) => {
      if (bytes !== null) sent(bytes);
      return wire;
    };
    const { listen } = listener();
    const [zero, one] = await Promise.all([
      meet(place(0, meeting, { runId: null }), { listen, mpiBroadcast }),
      meet(place(1, meeting, { runId: null }), { listen: mustNotListen, mpiBroadcast }),
    ]);
    assert.match(zero.runId, /^[0-9a-f]{16}$/);
    assert.equal([one.runId, one.host, one.port], [zero.runId, '127.0.0.1', zero.port]);
  }
});

test('an address that was told goes before a broadcast', async () => {
  const { listen } = listener();
  const mpiBroadcast = () => Promise.reject(new Error('not asked for'));
  const met = await meet(place(0, { kind: 'address', host: '127.0.0.1', port: 5000 }), { listen, mpiBroadcast });
  assert.is(met.port, 5000);
});

test('what cannot work says who waited for what, and what to do', async () => {
  const never = () => new Promise<Uint8Array>(() => {});
  const { listen } = listener();
  const mpi = { kind: 'mpi', port: null } as const;
  const cases: readonly [() => Promise<unknown>, RegExp][] = [
    [
      () => meet(place(1, mpi), { listen: mustNotListen, mpiBroadcast: never, timeoutMs: 50 }),
      /rank 1 of 2 \(a test\) waited for the broadcast of rank 0's address: nothing came in 0.05 s.*fix: .*--rdzv-timeout/s,
    ],
    [() => meet(place(0, mpi), { listen }), /fix: set MASTER_ADDR and MASTER_PORT/],
    [() => meet(place(0, { kind: 'local', port: null }, { runId: null }), { listen }), /no id.*--rdzv-id/s],
    [
      () =>
        meet(place(0, { kind: 'address', host: '127.0.0.1', port: 5000 }), {
          listen: () => Promise.reject(new Error('EADDRINUSE')),
        }),
      /cannot listen on 127\.0\.0\.1, port 5000: received EADDRINUSE.*fix: set MASTER_PORT/s,
    ],
  ];
  for (const [attempt, message] of cases) await assertRejectsCode(attempt(), 'RELIC_RANKS', message);
});

test.run();
