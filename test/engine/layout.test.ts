import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { layoutOf, rowCount, segmentsOf } from '../../src/engine/layout.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('layout');
const lengths = Int32Array.of(3, 1, 4);
const batch = { proteinA: Int32Array.of(0, 2), proteinB: Int32Array.of(1, 1), labels: Float32Array.of(1, 0) };

test('A sequences lie before B sequences', () => {
  const layout = layoutOf(batch, lengths);
  assert.equal([...layout.offsets], [0, 3, 7, 8, 9]);
  assert.equal([layout.pairs, layout.tokensA, layout.tokensB, layout.tokens], [2, 7, 2, 9]);
  assert.equal([rowCount('tokens', layout), rowCount('pairs', layout), rowCount(2, layout)], [9, 2, 2]);
});

test('segments count rows in their own query and key tensors', () => {
  const layout = layoutOf(batch, lengths);
  const [range, ranges] = [(from: number, to: number) => ({ from, to }), (...all: unknown[]) => all];
  assert.equal(
    segmentsOf('self', layout).map(({ queries }) => queries),
    ranges(range(0, 3), range(3, 7), range(7, 8), range(8, 9)),
  );
  assert.equal(segmentsOf('aToB', layout), [
    { queries: range(0, 3), keys: [range(0, 1)] },
    { queries: range(3, 7), keys: [range(1, 2)] },
  ]);
  assert.equal(segmentsOf('bToA', layout)[1], { queries: range(1, 2), keys: [range(3, 7)] });
  assert.equal(segmentsOf('pairToBoth', layout)[0], { queries: range(0, 1), keys: [range(0, 3), range(7, 8)] });
});

test('an empty batch, unequal columns and unknown proteins are refused', () => {
  const none = new Int32Array(0);
  const empty = { proteinA: none, proteinB: none, labels: new Float32Array(0) };
  assertThrowsCode(() => layoutOf(empty, lengths), 'RELIC_BATCH_INVALID');
  assertThrowsCode(() => layoutOf({ ...batch, proteinB: Int32Array.of(1) }, lengths), 'RELIC_BATCH_INVALID', /1 B/);
  for (const index of [3, -1]) {
    const bad = { ...batch, proteinB: Int32Array.of(1, index) };
    assertThrowsCode(() => layoutOf(bad, lengths), 'RELIC_BATCH_INVALID', /below 3/);
  }
});

test.run();
