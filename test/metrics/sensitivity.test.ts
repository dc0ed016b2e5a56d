import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { sensitivity } from '../../src/metrics/sensitivity.ts';
import { assertGolden, scoresOf } from './golden-metric.ts';

const test = suite('sensitivity');

test('equals scikit-learn on the golden cases', () => assertGolden(sensitivity));

test('is found positives over positives', () => {
  assert.is(sensitivity.compute(scoresOf([1, 1, 1, 1, 0, 0, 0], [0.9, 0.5, 0.7, 0.4, 0.6, 0.1, 0.2])), 3 / 4);
});

test.run();
