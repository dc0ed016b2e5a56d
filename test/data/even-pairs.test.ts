import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type IndexPair, PairPool } from '../../src/data/even-pairs.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';

const test = suite('even pairs');
const range = (n: number) => Array.from({ length: n }, (_, i) => i);
const degrees = (pairs: readonly IndexPair[], n: number) => {
  const counts = new Array<number>(n).fill(0);
  for (const pair of pairs) for (const member of pair) counts[member]++;
  return counts;
};
const key = ([a, b]: IndexPair) => (a < b ? `${a}-${b}` : `${b}-${a}`);

test('spreads pairs evenly, alike in both kinds, and takes none twice', () => {
  for (let seed = 0; seed < 10; seed++) {
    const kindOf = (a: number, b: number) => (a % 3 === b % 3 ? 1 : 0);
    const pool = new PairPool(range(30), kindOf, new TorchGenerator(seed));
    assert.equal(pool.totals, [300, 135]);
    const seen = new Set<string>();
    for (const count of [10, 33, 60]) {
      const [zeros, ones] = pool.take(count);
      assert.is(zeros.length, count);
      assert.is(ones.length, count);
      assert.ok(zeros.every(([a, b]) => kindOf(a, b) === 0) && ones.every(([a, b]) => kindOf(a, b) === 1));
      assert.equal(degrees(zeros, 30), degrees(ones, 30));
      // Pairs of kind 1 lie within three groups; an odd total in one of them cannot be met exactly.
      const even = degrees(ones, 30);
      assert.ok(Math.max(...even) - Math.min(...even) <= 3, `degrees ${even}`);
      for (const pair of [...zeros, ...ones]) {
        assert.is.not(pair[0], pair[1]);
        assert.not(seen.has(key(pair)));
        seen.add(key(pair));
      }
    }
  }
});

test('gives every pair there is when all are asked for, however uneven', () => {
  const star = (a: number, b: number) => (a === 0 || b === 0 ? 1 : 0);
  const [zeros, ones] = new PairPool(range(8), star, new TorchGenerator(1)).take(7);
  assert.equal(
    ones.map(key).sort(),
    range(7).map((i) => `0-${i + 1}`),
  );
  assert.is(new Set(zeros.map(key)).size, 7);
});

test('returns members, not their positions', () => {
  const members = [5, 9, 11, 20];
  const [zeros, ones] = new PairPool(members, (a, b) => ((a + b) % 2 === 0 ? 1 : 0), new TorchGenerator(3)).take(3);
  assert.ok([...zeros, ...ones].flat().every((member) => members.includes(member)));
  assert.equal(
    ones.map(key).sort(),
    ['11-5', '11-9', '5-9']
      .map((text) => text.split('-').map(Number))
      .map(([a, b]) => key([a, b]))
      .sort(),
  );
});

test.run();
