import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bestF1Threshold } from '../../src/metrics/best-f1-threshold.ts';
import { f1 } from '../../src/metrics/f1.ts';
import { scoresOf } from './golden-metric.ts';

const test = suite('bestF1Threshold');

test('no observed probability gives a higher F1, and none above it as high', () => {
  const pairs = fc.array(fc.tuple(fc.constantFrom(0, 1), fc.nat(12)), { maxLength: 30 });
  fc.assert(
    fc.property(pairs, (rows) => {
      const labels = [1, ...rows.map(([label]) => label)];
      const probabilities = [0.5, ...rows.map(([, level]) => level / 12)];
      const f1At = (threshold: number) => f1.compute(scoresOf(labels, probabilities, threshold));
      const best = bestF1Threshold(scoresOf(labels, probabilities))!;
      assert.ok(probabilities.includes(best));
      for (const threshold of probabilities) {
        assert.ok(threshold > best ? f1At(threshold) < f1At(best) : f1At(threshold) <= f1At(best));
      }
    }),
  );
});

test('of equals takes the higher', () => {
  // 0.9 gives 2/(1+2) and 0.3 gives 4/(4+2): the same 2/3.
  assert.is(bestF1Threshold(scoresOf([1, 0, 0, 1], [0.9, 0.5, 0.4, 0.3])), 0.9);
});

test('is undefined without a positive', () => {
  assert.is(bestF1Threshold(scoresOf([0, 0], [0.2, 0.8])), undefined);
});

test.run();
