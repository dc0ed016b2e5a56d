import { deepStrictEqual, strictEqual } from 'node:assert';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { readPairs, selectPairs } from '../../src/data/pairs.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('pairs');
const dir = mkdtempSync(join(tmpdir(), 'relic-'));
test.after(() => rmSync(dir, { recursive: true }));

function file(text: string | Buffer): string {
  const path = join(dir, 'pairs.txt');
  writeFileSync(path, text);
  return path;
}

test('reads names, labels and line numbers in file order', () => {
  const pairs = readPairs(file('P1\tP2\t1\nP3\tP1\t0\n'));
  deepStrictEqual(pairs.proteins, ['P1', 'P2', 'P3']);
  deepStrictEqual([...pairs.a], [0, 2]);
  deepStrictEqual([...pairs.b], [1, 0]);
  deepStrictEqual([...pairs.labels], [1, 0]);
  deepStrictEqual([...pairs.lines], [1, 2]);
});

test('reads over a byte-order mark, CRLF and CR line ends, blank lines, outer blanks and a missing last line end', () => {
  const pairs = readPairs(file('\ufeffP1\tP2\t1\r\n\r\n  P2\tP3\t0 \r   \nP4\tP1\t1'));
  deepStrictEqual(pairs.proteins, ['P1', 'P2', 'P3', 'P4']);
  deepStrictEqual([...pairs.lines], [1, 3, 5]);
  strictEqual(pairs.skipped.count, 0);
});

test('keeps blanks inside a name, as RELIC does', () => {
  deepStrictEqual(readPairs(file('P1 \t P2\t1\n')).proteins, ['P1 ', ' P2']);
});

test('skips and counts lines without three fields and numbers the first ten', () => {
  const ragged = Array.from({ length: 12 }, (_, i) => (i % 2 === 0 ? 'P1\tP2' : 'P1\tP2\t1\textra'));
  const { skipped, labels } = readPairs(file(['P1\tP2\t1', ...ragged, 'P1 P2 1'].join('\n')));
  strictEqual(labels.length, 1);
  strictEqual(skipped.count, 13);
  deepStrictEqual(skipped.first, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
});

test("reads labels in Python's integer notation", () => {
  deepStrictEqual([...readPairs(file('A\tB\t01\nA\tC\t+1\nA\tD\t-0\nA\tE\t 1\nA\tF\t0_0\n')).labels], [1, 1, 0, 1, 0]);
});

for (const label of ['2', '-1', 'x', '1.0', '1e0', '0x1', '1__0', 'label']) {
  test(`refuses the label ${label} and names its line`, () => {
    const path = file(`A\tB\t1\nA\tC\t${label}\n`);
    const error = assertThrowsCode(() => readPairs(path), 'RELIC_PAIRS_INVALID', /not 0 or 1/);
    deepStrictEqual(
      error.problems.map((problem) => problem.where),
      [`${path}:2`],
    );
  });
}

test('lists the first ten bad lines and counts all', () => {
  const path = file(Array.from({ length: 14 }, () => 'A\tB\t7').join('\n'));
  const error = assertThrowsCode(() => readPairs(path), 'RELIC_PAIRS_INVALID', /^14 invalid line/);
  strictEqual(error.problems.length, 10);
  strictEqual(error.problems[9].where, `${path}:10`);
});

test('refuses a pair whose protein has no name', () => {
  assertThrowsCode(() => readPairs(file('A\t\t1\n')), 'RELIC_PAIRS_INVALID', /pairs\.txt:1: a protein has no name/);
});

test('a file without a pair is an error that counts what it has', () => {
  assertThrowsCode(() => readPairs(file('\n')), 'RELIC_PAIRS_EMPTY', /^No valid PPI records found in .*pairs\.txt/);
  assertThrowsCode(() => readPairs(file('A,B,1\nC,D,0\n')), 'RELIC_PAIRS_EMPTY', /received 2 line\(s\)/);
});

test('a missing file and a directory are errors', () => {
  const path = join(dir, 'nowhere.txt');
  assertThrowsCode(() => readPairs(path), 'RELIC_PAIRS_NOT_FOUND', /^Dataset path not found: .*nowhere\.txt/);
  assertThrowsCode(() => readPairs(dir), 'RELIC_PAIRS_NOT_FOUND', /EISDIR/);
});

test('a selection has the proteins and repeats of its own records', () => {
  const pairs = readPairs(file('A\tB\t1\nC\tC\t0\nB\tA\t1\nD\tA\t0\n'));
  strictEqual(pairs.duplicates.count, 1);
  const some = selectPairs(pairs, [0, 3]);
  deepStrictEqual(some.proteins, ['A', 'B', 'D']);
  deepStrictEqual([...some.lines], [1, 4]);
  strictEqual(some.selfPairs, 0);
  strictEqual(some.duplicates.count, 0);
});

test.run();
