import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { expandHostlist, hostnames, nodeAddress } from '../../src/distributed/hostlist.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('distributed/hostlist');

const LISTS: Readonly<Record<string, readonly string[]>> = {
  n1: ['n1'],
  'n[1-2],gpu[003-005,9]': ['n1', 'n2', 'gpu003', 'gpu004', 'gpu005', 'gpu9'],
  'n[08-11]': ['n08', 'n09', 'n10', 'n11'],
  'n[9-11]': ['n9', 'n10', 'n11'],
  'r[1-2]n[0,3]-ib': ['r1n0-ib', 'r1n3-ib', 'r2n0-ib', 'r2n3-ib'],
  'x[a[1-2],b]': ['xa1', 'xa2', 'xb'],
  'a,b': ['a', 'b'],
};

test('hostlists as Slurm writes them', () => {
  for (const [list, names] of Object.entries(LISTS)) assert.equal(expandHostlist(list), names, list);
});

test('what is no hostlist is refused', () => {
  for (const list of ['', 'a,,b', 'n[1-2', 'n1-2]', 'n[]', 'n[2-1]', 'n[1-99999999]', 'n[1-2000]m[1-2000]'])
    assertThrowsCode(() => expandHostlist(list), 'RELIC_RANKS', /no list of nodes/);
});

interface Piece {
  readonly text: string;
  readonly names: readonly string[];
}

const prefix = fc.stringMatching(/^[a-z][a-z-]{0,4}$/);
const range: fc.Arbitrary<Piece> = fc
  .record({ first: fc.nat(1200), count: fc.integer({ min: 1, max: 12 }), width: fc.integer({ min: 1, max: 5 }) })
  .map(({ first, count, width }) => {
    const names = Array.from({ length: count }, (_, i) => String(first + i).padStart(width, '0'));
    const [start] = names;
    // The width is that of the first number, so a range must not outgrow it by being written narrower.
    return { text: count === 1 ? start : `${start}-${first + count - 1}`, names };
  });
const bracket: fc.Arbitrary<Piece> = fc.array(range, { minLength: 1, maxLength: 3 }).map((ranges) => ({
  text: `[${ranges.map(({ text }) => text).join(',')}]`,
  names: ranges.flatMap(({ names }) => names),
}));
const host: fc.Arbitrary<Piece> = fc
  .record({ start: prefix, brackets: fc.array(bracket, { maxLength: 2 }), end: fc.constantFrom('', '-ib', '.local') })
  .map(({ start, brackets, end }) => ({
    text: start + brackets.map(({ text }) => text).join('') + end,
    names: brackets
      .reduce((names, { names: next }) => names.flatMap((name) => next.map((each) => name + each)), [start])
      .map((name) => name + end),
  }));

test('any list expands to the names that it was made of', () => {
  fc.assert(
    fc.property(fc.array(host, { minLength: 1, maxLength: 4 }), (hosts) => {
      const text = hosts.map((each) => each.text).join(',');
      assert.equal(
        expandHostlist(text),
        hosts.flatMap(({ names }) => names),
      );
    }),
  );
});

test("Slurm's own reading goes first; without it, or where it fails, ours", async () => {
  assert.equal(await hostnames('n[1-2]', async (...words) => `${words.join(' ')}\nx\n`), [
    'show hostnames n[1-2]',
    'x',
  ]);
  assert.equal(await hostnames('n[1-2]', async () => undefined), ['n1', 'n2']);
  assert.equal(await hostnames('n[1-2]', async () => '\n'), ['n1', 'n2']);
});

test('the address of a node is its NodeAddr', async () => {
  const told = 'NodeName=n1 Arch=x86_64 NodeAddr=10.1.2.3 NodeHostName=box Version=22\n';
  assert.is(
    await nodeAddress('n1', async (...words) => (words.join(' ') === 'show node -o n1' ? told : undefined)),
    '10.1.2.3',
  );
  assert.is(await nodeAddress('n1', async () => undefined), undefined);
});

test.run();
