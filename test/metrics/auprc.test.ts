import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { auprc } from '../../src/metrics/auprc.ts';
import { assertClose } from '../assert.ts';
import { assertGolden, scoresOf } from './golden-metric.ts';

const test = suite('auprc');

test('equals scikit-learn on the golden cases', () => assertGolden(auprc));

test('is the mean, over positives, of the precision at each one', () => {
  // From the top: positive (1/1), negative, positive (2/3), then a tie of a positive and a negative (3/5).
  const scores = scoresOf([1, 0, 1, 1, 0], [0.9, 0.8, 0.7, 0.6, 0.6]);
  assertClose(auprc.compute(scores), (1 + 2 / 3 + 3 / 5) / 3, { abs: 1e-15 });
});

test('is the share of positives when nothing is told apart', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 50 }), (positives, negatives) => {
      const labels = [...Array(positives).fill(1), ...Array(negatives).fill(0)];
      const value = auprc.compute(scoresOf(labels, Array(labels.length).fill(0.3)));
      assertClose(value, positives / labels.length, { abs: 1e-15 });
    }),
  );
});

test('is undefined with one class', () => {
  assert.ok(Number.isNaN(auprc.compute(scoresOf([1, 1], [0.1, 0.9]))));
  assert.ok(Number.isNaN(auprc.compute(scoresOf([0], [0.1]))));
});

test.run();
