/** Real launchers start real processes, which find out their ranks and meet. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NODE_ARGS } from '../e2e/project.ts';
import { presentLaunchers } from './launchers.ts';
import { MEETING_RANK, met, start } from './meeting.ts';

const test = suite('distributed/launch');
const SOURCES = { 'Open MPI': 'mpirun (Open MPI)', MPICH: 'mpirun (MPICH, Intel MPI)' };

function assertMet(ranks: Awaited<ReturnType<typeof met>>, size: number, source: string): void {
  const [{ runId, host, port }] = ranks;
  const expected = Array.from({ length: size }, (_, rank) => {
    const heard = rank === 0 ? Array.from({ length: size - 1 }, (_, i) => `${i + 1} of ${runId}`) : [];
    return { rank, size, localRank: rank, localSize: size, source, runId, host, port, heard };
  });
  assert.equal(ranks, expected);
  assert.is(host, '127.0.0.1');
}

const launchers = presentLaunchers();

for (const { name, command } of launchers) {
  test(`ranks of ${name}'s mpirun meet, run ids differ`, async () => {
    const ranks = await met([command(3, process.execPath, MEETING_RANK)]);
    assertMet(ranks, 3, SOURCES[name]);
    const again = await met([command(2, process.execPath, MEETING_RANK)]);
    assertMet(again, 2, SOURCES[name]);
    assert.is.not(again[0].runId, ranks[0].runId);
  });

  test(`doctor --ranks under ${name}'s mpirun: a line a fact, each with its rank`, async () => {
    const { status, stdout, stderr } = await start(command(2, process.execPath, [...NODE_ARGS, 'doctor', '--ranks']));
    assert.is(status, 0, stderr);
    for (const rank of [0, 1]) {
      for (const fact of [
        `source: ${SOURCES[name].replace(/[()]/g, '\\$&')}`,
        'CPUs allowed: \\S+',
        'threads: \\d+ \\(',
      ]) {
        assert.match(stdout, new RegExp(`\\[rank ${rank} of 2\\] ${fact}`));
      }
    }
  });

  test(`a rank that never comes is missed at the deadline under ${name}'s mpirun`, async () => {
    const absent = 'if [ "$OMPI_COMM_WORLD_RANK$PMI_RANK" = 0 ]; then exec sleep 50; fi; exec "$@"';
    const line = command(2, 'sh', ['-c', absent, 'sh', process.execPath, ...MEETING_RANK]);
    const { status, stdout, stderr } = await start(line, { RELIC_RDZV_TIMEOUT: '1' });
    assert.is.not(status, 0);
    const message = /rank 1 of 2 \(mpirun.*\) waited for (rank 0|the other ranks).*: nothing came in 1 s/;
    assert.match(stdout + stderr, message);
  });

  test(`a RANK left behind is refused under ${name}'s mpirun`, async () => {
    const stale = { RANK: '0', WORLD_SIZE: '2', MASTER_ADDR: '127.0.0.1', MASTER_PORT: '29500' };
    const line = command(2, process.execPath, [...NODE_ARGS, 'doctor', '--ranks']);
    const { stdout, stderr } = await start(line, stale);
    assert.match(stdout, /\[rank \?\] contradiction: RANK and WORLD_SIZE and mpirun/);
    assert.match(stderr, /fix: unset RANK and WORLD_SIZE/);
  });
}

test('processes that are told their ranks by variables meet', async () => {
  const line = { program: process.execPath, args: MEETING_RANK, environment: {} };
  const master = { WORLD_SIZE: '2', MASTER_ADDR: '127.0.0.1', MASTER_PORT: String(20_000 + (process.pid % 10_000)) };
  const ranks = await met(
    [line, line],
    ['0', '1'].map((rank) => ({ ...master, RANK: rank })),
  );
  assertMet(ranks, 2, 'RANK and WORLD_SIZE');
});

test.run();
