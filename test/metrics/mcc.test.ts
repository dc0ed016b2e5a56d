import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { mcc } from '../../src/metrics/mcc.ts';
import { assertGolden, scoresOf } from './golden-metric.ts';

const test = suite('mcc');

test('equals scikit-learn on the golden cases', () => assertGolden(mcc));

test('is the correlation of labels and calls, and 0 where one of them does not vary', () => {
  assert.is(
    mcc.compute(scoresOf([1, 1, 1, 1, 0, 0, 0], [0.9, 0.5, 0.7, 0.4, 0.6, 0.1, 0.2])),
    (3 * 2 - 1 * 1) / Math.sqrt(4 * 4 * 3 * 3),
  );
  assert.is(mcc.compute(scoresOf([1, 0], [0.7, 0.6])), 0);
  assert.is(mcc.compute(scoresOf([1, 1], [0.7, 0.1])), 0);
  assert.is(mcc.compute(scoresOf([1, 1, 1, 0, 0], [1, 1, 1, 0, 0])), 1);
});

test.run();
