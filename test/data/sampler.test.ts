import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { batchesOf } from '../../src/data/sampler.ts';

const test = suite('batchesOf');
const order = Int32Array.of(4, 2, 0, 1, 3);
const cut = (size: number, dropLast: boolean) => batchesOf(order, size, dropLast).map((batch) => [...batch]);

test('cuts in order and keeps or drops the short last batch', () => {
  assert.equal(cut(2, false), [[4, 2], [0, 1], [3]]);
  assert.equal(cut(2, true), [
    [4, 2],
    [0, 1],
  ]);
  assert.equal(cut(5, true), [[4, 2, 0, 1, 3]]);
  assert.equal(cut(8, false), [[4, 2, 0, 1, 3]]);
  assert.equal(cut(8, true), []);
});

test.run();
