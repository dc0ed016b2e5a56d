import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { accuracy } from '../../src/metrics/accuracy.ts';
import { assertGolden, scoresOf } from './golden-metric.ts';

const test = suite('accuracy');

test('equals scikit-learn on the golden cases', () => assertGolden(accuracy));

test('counts both kinds of right calls', () => {
  assert.is(accuracy.compute(scoresOf([1, 1, 1, 1, 0, 0, 0], [0.9, 0.5, 0.7, 0.4, 0.6, 0.1, 0.2])), 5 / 7);
});

test.run();
