import { deepStrictEqual, notStrictEqual, strictEqual } from 'node:assert';
import { suite } from 'uvu';
import { pairRepeats, unorderedPairKey } from '../../src/data/pair-repeats.ts';

const test = suite('pair-repeats');

/** Records of [a, b, label] over one-letter proteins, on lines 1, 2, ... */
function columns(...records: [string, string, number][]) {
  const proteins = [...new Set(records.flatMap((record) => record.slice(0, 2) as string[]))];
  return {
    proteins,
    a: Int32Array.from(records, ([a]) => proteins.indexOf(a)),
    b: Int32Array.from(records, ([, b]) => proteins.indexOf(b)),
    labels: Uint8Array.from(records, ([, , label]) => label),
    lines: Int32Array.from(records, (_, r) => r + 1),
  };
}

test('counts self pairs', () => {
  strictEqual(pairRepeats(columns(['A', 'A', 1], ['A', 'B', 1], ['B', 'B', 0]), 10).selfPairs, 2);
});

test('the same unordered pair with the same label is a duplicate of the first', () => {
  const { duplicates, conflicts } = pairRepeats(
    columns(['A', 'B', 1], ['B', 'A', 1], ['A', 'C', 1], ['A', 'B', 1]),
    10,
  );
  deepStrictEqual(duplicates, {
    count: 2,
    first: [
      { a: 'A', b: 'B', lines: [1, 2] },
      { a: 'A', b: 'B', lines: [1, 4] },
    ],
  });
  strictEqual(conflicts.count, 0);
});

test('a pair with both labels is one conflict, however often it stands', () => {
  const { duplicates, conflicts } = pairRepeats(
    columns(['A', 'B', 1], ['B', 'A', 0], ['A', 'B', 0], ['A', 'B', 1]),
    10,
  );
  deepStrictEqual(conflicts, { count: 1, first: [{ a: 'A', b: 'B', lines: [1, 2] }] });
  strictEqual(duplicates.count, 2);
});

test('names the first few and counts all', () => {
  const { duplicates } = pairRepeats(
    columns(...Array.from({ length: 5 }, (): [string, string, number] => ['A', 'B', 1])),
    2,
  );
  strictEqual(duplicates.count, 4);
  strictEqual(duplicates.first.length, 2);
});

test('a pair key ignores order and tells pairs apart', () => {
  strictEqual(unorderedPairKey(3, 5, 10), unorderedPairKey(5, 3, 10));
  const keys = new Set<number>();
  for (let i = 0; i < 10; i++) for (let j = i; j < 10; j++) keys.add(unorderedPairKey(i, j, 10));
  strictEqual(keys.size, 55);
  notStrictEqual(unorderedPairKey(20000, 1, 20001), unorderedPairKey(1, 19999, 20001));
});

test.run();
