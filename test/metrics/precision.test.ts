import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { precision } from '../../src/metrics/precision.ts';
import { assertGolden, scoresOf } from './golden-metric.ts';

const test = suite('precision');

test('equals scikit-learn on the golden cases', () => assertGolden(precision));

test('is right positive calls over positive calls, and 0 without a call', () => {
  assert.is(precision.compute(scoresOf([1, 1, 1, 1, 0, 0, 0], [0.9, 0.5, 0.7, 0.4, 0.6, 0.1, 0.2])), 3 / 4);
  assert.is(precision.compute(scoresOf([1, 0], [0.4, 0.1])), 0);
});

test.run();
