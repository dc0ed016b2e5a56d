import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Batch, Scores } from '../../src/engine/engine.ts';
import { type EvaluateOptions, evaluate } from '../../src/train/evaluate.ts';
import { assertClose, assertRejectsCode } from '../assert.ts';

const test = suite('evaluate');

/** Logit a - b for the pair (a, b), loss 10 a + b. */
const model = {
  calls: 0,
  async evaluate({ proteinA, proteinB }: Batch): Promise<Scores> {
    this.calls++;
    return {
      logits: Float32Array.from(proteinA, (a, i) => a - proteinB[i]),
      lossPerPair: Float32Array.from(proteinA, (a, i) => 10 * a + proteinB[i]),
    };
  },
};

function batch(...pairs: [number, number, number][]): Batch {
  return {
    proteinA: Int32Array.from(pairs, ([a]) => a),
    proteinB: Int32Array.from(pairs, ([, b]) => b),
    labels: Float32Array.from(pairs, ([, , label]) => label),
  };
}

const BATCHES = [batch([3, 1, 1], [0, 2, 0]), batch([1, 1, 1])];
const OPTIONS: EvaluateOptions = {
  model,
  batches: BATCHES,
  metrics: ['accuracy', 'auroc'],
  threshold: 0.5,
  orderAveraged: false,
  lossByBatch: false,
  undefinedAsZero: false,
};

test('scores every batch in order', async () => {
  const result = await evaluate(OPTIONS);
  assert.equal([...result.logits], [2, -2, 0]);
  assert.equal([...result.labels], [1, 0, 1]);
  const sigmoid = [2, -2, 0].map((x) => Math.fround(1 / (1 + Math.exp(-x))));
  assert.equal([...result.probabilities], sigmoid);
  assert.equal(
    [...result.metrics],
    [
      ['accuracy', 1],
      ['auroc', 1],
    ],
  );
});

test('the loss is the mean over pairs, or of batch means', async () => {
  assertClose((await evaluate(OPTIONS)).loss, (31 + 2 + 11) / 3, { rel: 1e-12 });
  assertClose((await evaluate({ ...OPTIONS, lossByBatch: true })).loss, (33 / 2 + 11) / 2, { rel: 1e-12 });
});

test('order averaging takes the mean logit of both orders', async () => {
  const result = await evaluate({ ...OPTIONS, orderAveraged: true });
  assert.equal([...result.logits], [0, 0, 0]);
  assertClose(result.loss, (22 + 11 + 11) / 3, { rel: 1e-6 });
});

test('the threshold decides who is called positive', async () => {
  const { metrics } = await evaluate({ ...OPTIONS, threshold: 0.6 });
  assertClose(metrics.get('accuracy') ?? Number.NaN, 2 / 3, { rel: 1e-12 });
});

test('a metric of one class is null, or 0 when asked', async () => {
  const oneClass = { ...OPTIONS, batches: [batch([1, 0, 1], [2, 0, 1])] };
  assert.equal((await evaluate(oneClass)).metrics.get('auroc'), null);
  assert.equal((await evaluate({ ...oneClass, undefinedAsZero: true })).metrics.get('auroc'), 0);
});

test('a score that is not finite fails', async () => {
  const broken = { evaluate: async () => ({ logits: Float32Array.of(Number.NaN), lossPerPair: Float32Array.of(1) }) };
  await assertRejectsCode(evaluate({ ...OPTIONS, model: broken, batches: [BATCHES[1]] }), 'RELIC_NOT_FINITE');
});

test('it yields between batches, so a request to stop is heard', async () => {
  const controller = new AbortController();
  model.calls = 0;
  setImmediate(() => controller.abort());
  const many = Array.from({ length: 50 }, () => BATCHES[0]);
  await assertRejectsCode(evaluate({ ...OPTIONS, batches: many, signal: controller.signal }), 'RELIC_INTERRUPTED');
  assert.ok(model.calls < 5, `${model.calls} batches were scored`);
});

test.run();
