import { deepStrictEqual, notDeepStrictEqual, strictEqual } from 'node:assert';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { limitPairs } from '../../src/data/limit-pairs.ts';
import { type PairFile, readPairs } from '../../src/data/pairs.ts';

const test = suite('limit-pairs');
const dir = mkdtempSync(join(tmpdir(), 'relic-'));
test.after(() => rmSync(dir, { recursive: true }));

/** All positives first, as PRING's test files are. */
function pairs(positives: number, negatives: number): PairFile {
  const path = join(dir, 'pairs.txt');
  const line = (_: unknown, i: number) => `A${i}\tB${i}\t${i < positives ? 1 : 0}`;
  writeFileSync(path, Array.from({ length: positives + negatives }, line).join('\n'));
  return readPairs(path);
}
const positivesOf = (file: PairFile) => file.labels.reduce((sum, label) => sum + label, 0);

test('first takes the head of the file', () => {
  const some = limitPairs(pairs(30, 10), 5, 'first', 0);
  deepStrictEqual([...some.lines], [1, 2, 3, 4, 5]);
  deepStrictEqual(some.proteins, ['A0', 'B0', 'A1', 'B1', 'A2', 'B2', 'A3', 'B3', 'A4', 'B4']);
});

test('keeps one record for a limit of 0 or less', () => {
  for (const max of [0, -3]) strictEqual(limitPairs(pairs(3, 3), max, 'first', 0).labels.length, 1);
});

test('a limit at or above the size gives the file itself', () => {
  const file = pairs(3, 3);
  strictEqual(limitPairs(file, 6, 'stratified', 0), file);
  strictEqual(limitPairs(file, 100, 'first', 0), file);
});

test('stratified keeps the share of positives and the file order', () => {
  const some = limitPairs(pairs(300, 100), 40, 'stratified', 47);
  strictEqual(some.labels.length, 40);
  strictEqual(positivesOf(some), 30);
  deepStrictEqual(
    [...some.lines],
    [...some.lines].sort((x, y) => x - y),
  );
  strictEqual(new Set(some.lines).size, 40);
});

test('stratified depends on the seed alone', () => {
  const file = pairs(50, 50);
  const lines = (seed: number) => [...limitPairs(file, 10, 'stratified', seed).lines];
  deepStrictEqual(lines(1), lines(1));
  notDeepStrictEqual(lines(1), lines(2));
});

test('stratified keeps one of each class where there are two', () => {
  for (const [positives, negatives] of [
    [1, 999],
    [999, 1],
  ]) {
    const some = limitPairs(pairs(positives, negatives), 10, 'stratified', 0);
    strictEqual(some.labels.length, 10);
    strictEqual(positivesOf(some), positives === 1 ? 1 : 9);
  }
  strictEqual(positivesOf(limitPairs(pairs(20, 0), 7, 'stratified', 0)), 7);
  strictEqual(limitPairs(pairs(2, 2), 1, 'stratified', 0).labels.length, 1);
});

test.run();
