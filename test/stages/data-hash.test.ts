import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Dataset, Split } from '../../src/data/dataset.ts';
import { dataHash } from '../../src/stages/data-hash.ts';

const test = suite('data hash');

const split = (name: Split['name'], path: string, ...columns: number[][]): Split => ({
  name,
  path,
  a: Int32Array.from(columns[0]),
  b: Int32Array.from(columns[1]),
  labels: Float32Array.from(columns[2]),
  lines: new Int32Array(columns[0].length),
});
const dataset = (train: number[][], path = 'x.txt'): Dataset => ({
  train: split('train', path, ...train),
  valid: split('valid', path, [0], [1], [1]),
  test: split('test', path, [1], [0], [0]),
});
const store = { ids: ['P', 'Q'], lengths: Int32Array.of(3, 4), identity: { source: 'sequence', fingerprint: 'f' } };
const PAIRS = [
  [0, 1],
  [1, 1],
  [1, 0],
];
const base = dataHash(dataset(PAIRS), store);

test('where the files are does not matter', () => {
  assert.is(dataHash(dataset(PAIRS, 'elsewhere.txt'), store), base);
});

test('pairs, their order, their labels, and the embeddings do', () => {
  const others = [
    dataHash(dataset([[1, 0], PAIRS[1], PAIRS[2]]), store),
    dataHash(dataset([PAIRS[0], PAIRS[1], [1, 1]]), store),
    dataHash(dataset([[0], [1], [1]]), store),
    dataHash(dataset(PAIRS), { ...store, ids: ['P', 'R'] }),
    dataHash(dataset(PAIRS), { ...store, lengths: Int32Array.of(3, 5) }),
    dataHash(dataset(PAIRS), { ...store, identity: { ...store.identity, fingerprint: 'g' } }),
  ];
  assert.is(new Set([base, ...others]).size, 1 + others.length);
});

test.run();
