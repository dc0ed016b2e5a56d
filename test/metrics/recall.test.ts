import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { recall } from '../../src/metrics/recall.ts';
import { assertGolden, scoresOf } from './golden-metric.ts';

const test = suite('recall');

test('equals scikit-learn on the golden cases', () => assertGolden(recall));

test('is found positives over positives, and 0 without a positive', () => {
  assert.is(recall.compute(scoresOf([1, 1, 1, 1, 0, 0, 0], [0.9, 0.5, 0.7, 0.4, 0.6, 0.1, 0.2])), 3 / 4);
  assert.is(recall.compute(scoresOf([0, 0], [0.9, 0.1])), 0);
});

test.run();
