import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ratio, Scores } from '../../src/metrics/scores.ts';
import { assertThrowsCode } from '../assert.ts';
import { scoresOf } from './golden-metric.ts';

const test = suite('Scores');

test('a probability at the threshold is a positive call, in float32 too', () => {
  const scores = scoresOf([1, 1, 0, 0], [0.5, 0.4999999, 0.5, 0.1]);
  assert.equal(scores.confusion, { truePositives: 1, falsePositives: 1, trueNegatives: 1, falseNegatives: 1 });
  const threshold = Math.fround(0.3);
  const single = new Scores({ labels: Float32Array.of(1), probabilities: Float32Array.of(0.3), threshold });
  assert.is(single.confusion.truePositives, 1);
});

test('the curve counts pairs at or above each distinct probability', () => {
  const { curve } = scoresOf([1, 0, 1, 0, 0], [0.9, 0.2, 0.2, 0, -0]);
  assert.equal([...curve.thresholds], [0.9, 0.2, 0]);
  assert.equal([...curve.truePositives], [1, 2, 2]);
  assert.equal([...curve.falsePositives], [0, 1, 3]);
});

test('each point of the curve is the confusion at its threshold', () => {
  const pairs = fc.array(fc.tuple(fc.constantFrom(0, 1), fc.nat(12)), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(pairs, (rows) => {
      const labels = rows.map(([label]) => label);
      const probabilities = rows.map(([, level]) => level / 12);
      const { curve } = scoresOf(labels, probabilities);
      assert.is(curve.thresholds.length, new Set(probabilities).size);
      curve.thresholds.forEach((threshold, i) => {
        const { truePositives, falsePositives } = scoresOf(labels, probabilities, threshold).confusion;
        assert.equal([curve.truePositives[i], curve.falsePositives[i]], [truePositives, falsePositives]);
      });
    }),
  );
});

test('knows its classes', () => {
  assert.is(scoresOf([1, 0], [0, 1]).hasBothClasses, true);
  assert.is(scoresOf([1, 1], [0, 1]).hasBothClasses, false);
  assert.is(scoresOf([0], [0]).hasBothClasses, false);
});

test('bad input fails with its code', () => {
  const error = assertThrowsCode(() => scoresOf([1, 0], [0.2, NaN]), 'RELIC_NOT_FINITE', /pair 2 of 2/);
  assert.match(error.message, 'received NaN');
  assertThrowsCode(() => scoresOf([1], [Infinity]), 'RELIC_NOT_FINITE');
  assertThrowsCode(() => scoresOf([1], [0.1, 0.2]), 'RELIC_BATCH_INVALID', /expected 1 .* received 2/);
  assertThrowsCode(() => scoresOf([], []), 'RELIC_PAIRS_EMPTY');
});

test('a ratio of nothing is 0', () => {
  assert.equal([ratio(0, 0), ratio(1, 4)], [0, 0.25]);
});

test.run();
