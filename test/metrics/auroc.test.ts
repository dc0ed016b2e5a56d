import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { auroc } from '../../src/metrics/auroc.ts';
import { assertClose } from '../assert.ts';
import { assertGolden, scoresOf } from './golden-metric.ts';

/** Pairs of a label and a probability in sixteenths, so that ties are common; both classes are present. */
const rankings = fc
  .array(fc.tuple(fc.constantFrom(0, 1), fc.nat(16)), { maxLength: 40 })
  .map((pairs) => [[0, 3], [1, 5], ...pairs]);
const scores = (pairs: number[][], map = (x: number) => x) =>
  scoresOf(
    pairs.map(([label]) => label),
    pairs.map(([, level]) => map(level / 16)),
  );

const test = suite('auroc');

test('equals scikit-learn on the golden cases', () => assertGolden(auroc));

test('is the share of positive-negative pairs ranked right, a tie counting half', () => {
  fc.assert(
    fc.property(rankings, (pairs) => {
      let [right, all] = [0, 0];
      for (const [, high] of pairs.filter(([label]) => label === 1)) {
        for (const [, low] of pairs.filter(([label]) => label === 0)) {
          right += high > low ? 1 : high === low ? 0.5 : 0;
          all++;
        }
      }
      assertClose(auroc.compute(scores(pairs)), right / all, { abs: 1e-15 });
    }),
  );
});

test('does not change under a rising transform, and turns over under a falling one', () => {
  fc.assert(
    fc.property(rankings, (pairs) => {
      const value = auroc.compute(scores(pairs));
      assert.is(auroc.compute(scores(pairs, (x) => Math.exp(3 * x) - 7)), value);
      assertClose(auroc.compute(scores(pairs, (x) => 1 - x)), 1 - value, { abs: 1e-15 });
    }),
  );
});

test('is undefined with one class', () => {
  assert.ok(Number.isNaN(auroc.compute(scoresOf([1, 1], [0.1, 0.9]))));
  assert.ok(Number.isNaN(auroc.compute(scoresOf([0], [0.1]))));
});

test.run();
