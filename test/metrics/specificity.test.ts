import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { specificity } from '../../src/metrics/specificity.ts';
import { assertGolden, scoresOf } from './golden-metric.ts';

const test = suite('specificity');

test('equals scikit-learn on the golden cases', () => assertGolden(specificity));

test('is negatives left alone over negatives, and 0 without a negative', () => {
  assert.is(specificity.compute(scoresOf([1, 1, 1, 1, 0, 0, 0], [0.9, 0.5, 0.7, 0.4, 0.6, 0.1, 0.2])), 2 / 3);
  assert.is(specificity.compute(scoresOf([1, 1], [0.9, 0.1])), 0);
});

test.run();
