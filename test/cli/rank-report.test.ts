import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { reportRank } from '../../src/cli/rank-report.ts';
import type { Rendezvous } from '../../src/distributed/place.ts';
import { runCli } from './capture.ts';

const test = suite('cli/rank-report');
const rank = (rendezvous: Rendezvous) => ({ rank: 1, size: 2, localRank: null, rendezvous, runId: 'x' });

test('a line a fact, each with the rank', () => {
  const { lines, error } = reportRank(rank({ kind: 'address', host: '127.0.0.1', port: 5000 }));
  assert.is(error, null);
  for (const line of lines) assert.ok(line.startsWith('[rank 1 of 2] ') && !line.includes('\n'), line);
  for (const fact of [
    'source: --rank and --world-size',
    'on this node: rank 1 of 2',
    'run id: x',
    'meeting: rank 0 listens on 127.0.0.1, port 5000',
    `process: ${process.pid} on `,
    'CPUs allowed: ',
    'threads: ',
  ])
    assert.ok(
      lines.some((line) => line.startsWith(`[rank 1 of 2] ${fact}`)),
      fact,
    );
  const shared = reportRank(rank({ kind: 'file', directory: '/shared' })).lines;
  assert.ok(shared.some((line) => line.endsWith('meeting: by a file of rank 0 in /shared')));
});

test('a contradiction ends the command with the status of ranks that do not meet', async () => {
  const { RANK } = process.env;
  try {
    process.env.RANK = '0';
    const { status, stdout, stderr } = await runCli('doctor', '--ranks');
    assert.is(status, 70);
    assert.match(stdout, /^\[rank \?\] contradiction: .*RANK=0 without WORLD_SIZE$/m);
    assert.match(stdout, /^\[rank \?\] threads: /m);
    assert.match(stderr, /RELIC_RANKS.*fix: /s);
  } finally {
    if (RANK === undefined) delete process.env.RANK;
    else process.env.RANK = RANK;
  }
});

test.run();
