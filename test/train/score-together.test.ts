import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ALONE } from '../../src/distributed/group.ts';
import type { Batch, Scores } from '../../src/engine/engine.ts';
import { RelicError } from '../../src/errors.ts';
import { scoreTogether } from '../../src/train/score-together.ts';
import { inProcessGroups } from '../distributed/in-process.ts';

const test = suite('score-together');

/** Batch i has 1 + i mod 3 pairs, and the label of its first pair says so. */
const batches = Array.from({ length: 23 }, (_, i): Batch => {
  const pairs = Int32Array.from({ length: 1 + (i % 3) }, (_, j) => 10 * i + j);
  return { proteinA: pairs, proteinB: pairs, labels: Float32Array.from(pairs, (pair) => pair % 2) };
});

const scores = ({ proteinA }: Batch): Scores => ({
  logits: Float32Array.from(proteinA, (a) => a / 3),
  lossPerPair: Float32Array.from(proteinA, (a) => a / 7),
});

for (const size of [1, 2, 3, 4]) {
  test(`${size} ranks learn what one alone scores, each batch scored once`, async () => {
    const alone = await scoreTogether(batches, async (batch) => scores(batch), ALONE, undefined);
    const scored: number[] = [];
    const all = await Promise.all(
      inProcessGroups(size).map((group) => {
        const score = async (batch: Batch) => {
          scored.push(batch.proteinA[0]);
          return scores(batch);
        };
        return scoreTogether(batches, score, group, undefined);
      }),
    );
    assert.equal(
      scored.sort((a, b) => a - b),
      batches.map(({ proteinA }) => proteinA[0]),
    );
    for (const each of all) assert.equal(each, alone);
  });
}

test('more ranks than batches', async () => {
  const all = await Promise.all(
    inProcessGroups(4).map((group) =>
      scoreTogether(batches.slice(0, 2), async (batch) => scores(batch), group, undefined),
    ),
  );
  for (const { scores: each } of all) assert.equal(each, batches.slice(0, 2).map(scores));
});

test('when one rank is asked to stop, all stop', async () => {
  const controller = new AbortController();
  controller.abort(new RelicError('RELIC_INTERRUPTED', 'asked'));
  const outcomes = await Promise.allSettled(
    inProcessGroups(2).map((group) =>
      scoreTogether(batches, async (batch) => scores(batch), group, group.rank === 1 ? controller.signal : undefined),
    ),
  );
  const codes = outcomes.map((outcome) => outcome.status === 'rejected' && outcome.reason.code);
  assert.equal(codes, ['RELIC_PREEMPTED', 'RELIC_INTERRUPTED']);
});

test.run();
