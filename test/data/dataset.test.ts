import { deepStrictEqual, match, strictEqual } from 'node:assert';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { buildDataset, makeBatch, requireEmbeddings } from '../../src/data/dataset.ts';
import { readPairs } from '../../src/data/pairs.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('dataset');
const dir = mkdtempSync(join(tmpdir(), 'relic-'));
test.after(() => rmSync(dir, { recursive: true }));

function files(train: string, valid = 'A B 1', test = 'A B 0') {
  const read = (name: string, text: string) => {
    const path = join(dir, `${name}.txt`);
    writeFileSync(path, text.replaceAll(' ', '\t'));
    return readPairs(path);
  };
  return { train: read('train', train), valid: read('valid', valid), test: read('test', test) };
}
const store = (...ids: string[]) => ({ indexOf: (id: string) => ids.indexOf(id) });

test('pairs become store indices', () => {
  const { train, test } = buildDataset(files('A B 1\nC A 0\n'), store('C', 'X', 'B', 'A'));
  deepStrictEqual([...train.a], [3, 0]);
  deepStrictEqual([...train.b], [2, 3]);
  deepStrictEqual(train.labels, Float32Array.of(1, 0));
  deepStrictEqual([...train.lines], [1, 2]);
  strictEqual(test.name, 'test');
});

test('a split may embed a protein under an id of its own', () => {
  const entries = store('train:A', 'train:B', 'valid:A', 'valid:B', 'test:A', 'test:B');
  const { train, valid, test } = buildDataset(files('A B 1'), entries, (protein, split) => `${split}:${protein}`);
  deepStrictEqual([train.a[0], valid.a[0], test.b[0]], [0, 2, 5]);
});

test('a protein without an embedding is named with its first pair line', () => {
  const pairs = files('A B 1\nB Q 0\nQ A 1\n', 'A Q 1\nA R 0\n');
  const error = assertThrowsCode(() => buildDataset(pairs, store('A', 'B')), 'RELIC_EMBEDDING_MISSING', /^2 protein/);
  deepStrictEqual(error.problems, [
    { where: `${join(dir, 'train.txt')}:2`, message: 'protein "Q" (string) has no embedding' },
    { where: `${join(dir, 'valid.txt')}:2`, message: 'protein "R" (string) has no embedding' },
  ]);
  match(error.message, /fix: .*data_config\.embeddings/);
});

test('of many missing proteins ten are listed and all are counted', () => {
  const pairs = files(Array.from({ length: 15 }, (_, i) => `A M${i} ${i % 2}`).join('\n'), 'A A 1', 'A A 1');
  const error = assertThrowsCode(() => requireEmbeddings(pairs, (id) => id === 'A'), 'RELIC_EMBEDDING_MISSING', /^15 /);
  strictEqual(error.problems.length, 10);
});

test('a batch has the pairs asked for, in that order, repeats included', () => {
  const { train } = buildDataset(files('A B 1\nC A 0\nB C 1\n'), store('A', 'B', 'C'));
  const batch = makeBatch(train, Int32Array.of(2, 0, 2));
  deepStrictEqual([...batch.proteinA], [1, 0, 1]);
  deepStrictEqual([...batch.proteinB], [2, 1, 2]);
  deepStrictEqual(batch.labels, Float32Array.of(1, 1, 1));
});

test('an empty batch and positions outside the split are refused', () => {
  const { train } = buildDataset(files('A B 1\nC A 0\n'), store('A', 'B', 'C'));
  assertThrowsCode(() => makeBatch(train, []), 'RELIC_BATCH_INVALID', /at least one pair/);
  for (const position of [-1, 2, 0.5, Number.NaN]) {
    assertThrowsCode(() => makeBatch(train, [0, position]), 'RELIC_BATCH_INVALID', /from 0 to 1/);
  }
});

test.run();
