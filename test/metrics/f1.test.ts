import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { f1 } from '../../src/metrics/f1.ts';
import { assertGolden, scoresOf } from './golden-metric.ts';

const test = suite('f1');

test('equals scikit-learn on the golden cases', () => assertGolden(f1));

test('is the harmonic mean of precision 2/3 and recall 2/4, and 0 where both are', () => {
  const scores = scoresOf([1, 1, 1, 1, 0, 0, 0], [0.9, 0.5, 0.2, 0.4, 0.6, 0.1, 0.2]);
  assert.is(f1.compute(scores), 4 / 7);
  assert.is(f1.compute(scoresOf([0, 0], [0.4, 0.1])), 0);
});

test.run();
