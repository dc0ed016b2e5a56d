/** Which mask element an attention probability takes: the contract of `random/philox.ts`, seen through an engine. */
import { suite } from 'uvu';
import type { DropoutKey } from '../../src/engine/engine.ts';
import { ProgramBuilder } from '../../src/model/builder.ts';
import { fillMaskRow } from '../../src/random/philox.ts';
import { assertClose } from '../assert.ts';
import { memoryStore, presentEngines } from './engines.ts';

const test = suite('masks');
const HEADS = 2;
const RATE = 0.5;
const STEP = 9;
const KEY: DropoutKey = [123, 456];

/**
 * Values are the two embedding columns, one a head; queries and keys are 0, so every key has the same probability. The
 * logit is head 0 + 2 head 1 of the single query of a pair.
 */
function program() {
  const p = new ProgramBuilder('masks', HEADS);
  p.parameter('query', [1, 1, HEADS]);
  p.linearParameters('keyValue', HEADS, 2 * HEADS);
  p.linearParameters('out', HEADS, 1);
  const keyValue = p.linear(p.gather(), 'keyValue.weight', 'keyValue.bias', 'keyValue');
  const shape = { heads: HEADS, width: HEADS, segments: 'pairToBoth', queryOffset: 0, keyOffset: 0 } as const;
  const pooled = p.attention(p.expand('query', 'q'), keyValue, { ...shape, valueOffset: HEADS, p: RATE }, 'pool');
  return p.finish(p.linear(pooled, 'out.weight', 'out.bias', 'logits'), { posWeight: 1, labelSmoothing: 0 });
}

/** No two sums of some of the values are equal, so that no other mask gives the same logit. */
const proteins = [
  [1, 1.5, 2, 3.1, 4, 6.3],
  [8, 12.7, 16, 25.5],
];
const state = new Map([
  ['query', Float32Array.of(0, 0)],
  ['keyValue.weight', Float32Array.of(0, 0, 0, 0, 1, 0, 0, 1)],
  ['keyValue.bias', new Float32Array(4)],
  ['out.weight', Float32Array.of(0.01, 0.02)],
  ['out.bias', Float32Array.of(0)],
]);

/** The logit of pair `query` that sees `first`, then `second`. */
function expectedLogit(site: number, query: number, first: number[], second: number[]): number {
  const rows = [...first, ...second];
  const keys = rows.length / HEADS;
  let logit = 0;
  for (let head = 0; head < HEADS; head++) {
    const mask = new Float64Array(keys);
    fillMaskRow(mask, 0, keys, query * HEADS + head, site, STEP, KEY, RATE);
    for (let j = 0; j < keys; j++) logit += (0.01 * (head + 1) * mask[j] * rows[j * HEADS + head]) / keys;
  }
  return logit;
}

for (const engine of presentEngines()) {
  test(`${engine.info.name}: row = query row * heads + head, column = key index through both proteins`, async () => {
    const model = engine.createModel(
      program(),
      memoryStore(
        HEADS,
        proteins.map((rows) => Float32Array.from(rows)),
      ),
    );
    model.load(state);
    model.setOptimizer({ type: 'sgd', beta2: 0, eps: 0, weightDecay: 0 }, () => true, false);
    const batch = { proteinA: Int32Array.of(0, 1), proteinB: Int32Array.of(1, 0), labels: Float32Array.of(0, 0) };
    const settings = { step: STEP, lr: 0, momentum: 0, hardExamples: null };
    const [{ lossSum }] = await model.trainStep([{ batch, dropoutKey: KEY }], settings);
    const logits = [expectedLogit(0, 0, proteins[0], proteins[1]), expectedLogit(0, 1, proteins[1], proteins[0])];
    const loss = logits.reduce((sum, logit) => sum + Math.log1p(Math.exp(logit)), 0);
    assertClose(lossSum, loss, { rel: 1e-6 });
    model.dispose();
  });
}

test.run();
