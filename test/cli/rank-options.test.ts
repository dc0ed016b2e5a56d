import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseOptions } from '../../src/cli/options.ts';
import { RANK_OPTIONS, rankFlags } from '../../src/cli/rank-options.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('cli/rank-options');
const flags = (words: string) => rankFlags(parseOptions(words.split(' ').filter(Boolean), RANK_OPTIONS, 'relic-train'));

test('none given, or all that is needed', () => {
  assert.is(flags(''), null);
  assert.is(flags('--rdzv-timeout 5'), null);
  assert.equal(flags('--rank 0 --world-size 1'), { rank: 0, size: 1, localRank: null, rendezvous: null, runId: null });
  assert.equal(flags('--rank 1 --world-size 4 --local-rank 0 --rdzv n1:5000 --rdzv-id x'), {
    ...{ rank: 1, size: 4, localRank: 0, runId: 'x' },
    rendezvous: { kind: 'address', host: 'n1', port: 5000 },
  });
  assert.equal(flags('--rank 1 --world-size 2 --rdzv file:/a/b --rdzv-id x')?.rendezvous, {
    kind: 'file',
    directory: '/a/b',
  });
  assert.equal(flags('--rank 1 --world-size 2 --rdzv [fd00::1]:5000')?.rendezvous, {
    kind: 'address',
    host: 'fd00::1',
    port: 5000,
  });
});

const REFUSED: readonly [words: string, message: RegExp][] = [
  ['--rank 0', /--rank needs --world-size/],
  ['--world-size 2', /--world-size needs --rank/],
  ['--local-rank 0', /--local-rank needs --rank/],
  ['--rdzv n1:1', /--rdzv needs --rank/],
  ['--rdzv-id x', /--rdzv-id needs --rank/],
  ['--rank 2 --world-size 2 --rdzv n1:1', /--rank: expected an integer below --world-size 2, received 2/],
  ['--rank 0 --world-size 2 --local-rank 2 --rdzv n1:1', /--local-rank/],
  ['--rank 0 --world-size 2', /--world-size 2 needs --rdzv/],
  ['--rank 0 --world-size 2 --rdzv file:/a', /needs --rdzv-id/],
  ['--rank 0 --world-size 2 --rdzv file:', /HOST:PORT/],
  ['--rank 0 --world-size 2 --rdzv n1', /HOST:PORT/],
  ['--rank 0 --world-size 2 --rdzv n1:0', /port from 1 to 65535/],
  ['--rank 0 --world-size 2 --rdzv fd00::1:65536', /HOST:PORT/],
];

for (const [words, message] of REFUSED) {
  test(`refused: ${words}`, () => {
    assertThrowsCode(() => flags(words), 'RELIC_USAGE', message);
  });
}

test.run();
