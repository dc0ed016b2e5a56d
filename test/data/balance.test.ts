import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { balanceTokens } from '../../src/data/balance.ts';

const test = suite('balance');

const sum = (batch: Int32Array, tokens: readonly number[]) => batch.reduce((total, pair) => total + tokens[pair], 0);

test('long pairs are dealt among the ranks', () => {
  const tokens = [900, 800, 100, 100];
  const dealt = balanceTokens([Int32Array.of(0, 1), Int32Array.of(2, 3)], (pair) => tokens[pair]);
  assert.equal(
    dealt.map((batch) => [...batch]),
    [
      [0, 3],
      [1, 2],
    ],
  );
});

test('every pair stays, each rank keeps its count, and no rank is worse off than the fullest was', () => {
  const steps = fc.integer({ min: 1, max: 5 }).chain((ranks) =>
    fc.integer({ min: 1, max: 6 }).chain((pairs) =>
      fc.record({
        ranks: fc.constant(ranks),
        tokens: fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: ranks * pairs, maxLength: ranks * pairs }),
      }),
    ),
  );
  fc.assert(
    fc.property(steps, ({ ranks, tokens }) => {
      const each = tokens.length / ranks;
      const batches = Array.from({ length: ranks }, (_, rank) =>
        Int32Array.from({ length: each }, (_, i) => rank * each + i),
      );
      const dealt = balanceTokens(batches, (pair) => tokens[pair]);
      assert.equal(
        dealt.map(({ length }) => length),
        batches.map(({ length }) => length),
      );
      assert.equal(
        dealt.flatMap((batch) => [...batch]).sort((a, b) => a - b),
        tokens.map((_, i) => i),
      );
      const spread = (of: readonly Int32Array[]) => {
        const sums = of.map((batch) => sum(batch, tokens));
        return Math.max(...sums) - Math.min(...sums);
      };
      // Dealing longest first leaves a difference of at most the longest pair.
      assert.ok(spread(dealt) <= Math.max(...tokens), `${spread(dealt)}`);
    }),
  );
});

test.run();
