/**
 * Every engine against the TypeScript one with dropout on. All engines draw the same masks bit for bit: one flipped
 * element would move a loss by far more than the tolerances here.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Batch, Engine, EngineModel, OptimizerSettings, State } from '../../src/engine/engine.ts';
import { createTypescriptEngine } from '../../src/engine/typescript/engine.ts';
import { elementCount, type Program } from '../../src/model/program.ts';
import { buildV3 } from '../../src/model/v3.ts';
import { initialise } from '../../src/random/initialisers.ts';
import { dropoutKey } from '../../src/random/philox.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { assertClose } from '../assert.ts';
import { droppingV3 } from '../model/v3-config.ts';
import { memoryStore, presentEngines } from './engines.ts';

const test = suite('cross-engine');
const ADAMW: OptimizerSettings = { type: 'adamw', beta2: 0.999, eps: 1e-8, weightDecay: 0.01 };
const DIM = 20;
const STEPS = 20;
/** One step: float32 rounding through a few layers. Twenty: the same, after AdamW has fed it back. */
const AFTER_ONE = 1e-5;
const AFTER_TWENTY = 1e-3;

const generator = new TorchGenerator(19);
// Odd lengths and widths: no vector or tile comes out even.
const store = memoryStore(
  DIM,
  [33, 1, 17, 40, 8, 5, 26].map((length) => {
    const rows = new Float32Array(length * DIM);
    generator.normal(rows, 0, 1);
    return rows;
  }),
);

/** Pairs that change from step to step, so that the layout does too. */
function batchOf(step: number): Batch {
  const size = 3 + (step % 3);
  const protein = (i: number, stride: number) => (i * stride + step) % store.count;
  return {
    proteinA: Int32Array.from({ length: size }, (_, i) => protein(i, 2)),
    proteinB: Int32Array.from({ length: size }, (_, i) => protein(i, 3)),
    labels: Float32Array.from({ length: size }, (_, i) => (i + step) % 2),
  };
}

const config = { ...droppingV3(0.2), input_dim: DIM, d_model: 36, n_heads: 3 };
const program = buildV3(config, { posWeight: 1.5, labelSmoothing: 0.05 });

function initialState({ parameters, buffers, initialDraws }: Program): State {
  const random = new TorchGenerator(23);
  const shapes = new Map(parameters.map(({ name, shape }) => [name, shape]));
  const state: State = new Map(buffers.map((b) => [b.name, new Float32Array(elementCount(b.shape)).fill(b.value)]));
  for (const { parameter, init } of initialDraws) {
    state.set(parameter, initialise(init, shapes.get(parameter)!, random));
  }
  return state;
}

interface Run {
  readonly losses: number[];
  readonly firstGradients: State;
  readonly logits: Float32Array;
}

async function run(engine: Engine): Promise<Run> {
  const model: EngineModel = engine.createModel(program, store);
  model.load(initialState(program));
  model.setOptimizer(ADAMW, () => true, false);
  const losses: number[] = [];
  let firstGradients: State = new Map();
  for (let step = 0; step < STEPS; step++) {
    const shard = { batch: batchOf(step), dropoutKey: dropoutKey(47, 0, 'train') };
    const hardExamples = step % 2 === 0 ? null : { keepRatio: 0.5, minKeep: 2 };
    const [{ lossSum, kept }] = await model.trainStep([shard], { step, lr: 1e-3, momentum: 0.9, hardExamples });
    losses.push(lossSum / kept);
    if (step === 0) firstGradients = model.gradients();
  }
  const { logits } = await model.evaluate(batchOf(STEPS));
  model.dispose();
  return { losses, firstGradients, logits };
}

/** The first gradients with only the harder half of the pairs kept, from their masks in the whole batch. */
async function hardGradients(engine: Engine): Promise<State> {
  const model = engine.createModel(program, store);
  model.load(initialState(program));
  model.setOptimizer(ADAMW, () => true, false);
  const settings = { step: 3, lr: 1e-3, momentum: 0.9, hardExamples: { keepRatio: 0.5, minKeep: 1 } };
  const [{ kept }] = await model.trainStep([{ batch: batchOf(0), dropoutKey: dropoutKey(47, 0, 'train') }], settings);
  assert.ok(kept < batchOf(0).labels.length);
  const gradients = model.gradients();
  model.dispose();
  return gradients;
}

const reference = await run(createTypescriptEngine('reference'));

test('the reference learns, and its dropout matters', async () => {
  assert.is(reference.losses.length, STEPS);
  assert.ok(reference.losses.every(Number.isFinite));
  const still = buildV3(
    { ...config, regularization: droppingV3(0).regularization },
    { posWeight: 1.5, labelSmoothing: 0.05 },
  );
  const model = createTypescriptEngine('reference').createModel(still, store);
  model.load(initialState(still));
  const { lossPerPair } = await model.evaluate(batchOf(0));
  const mean = lossPerPair.reduce((sum, x) => sum + x, 0) / lossPerPair.length;
  assert.ok(Math.abs(mean - reference.losses[0]) > 100 * AFTER_ONE, `${mean} without dropout, ${reference.losses[0]}`);
});

for (const engine of presentEngines().filter(({ info }) => info.name !== 'typescript')) {
  test(`${engine.label}: the losses of ${STEPS} steps with dropout are those of the TypeScript engine`, async () => {
    const actual = await run(engine);
    assertClose(actual.losses[0], reference.losses[0], { rel: AFTER_ONE, what: 'first loss' });
    for (const [name, gradient] of reference.firstGradients) {
      assertClose(actual.firstGradients.get(name)!, gradient, { abs: 1e-6, rel: 1e-4, what: name });
    }
    assertClose(actual.losses, reference.losses, { rel: AFTER_TWENTY, what: 'loss' });
    assertClose(actual.logits, reference.logits, { abs: AFTER_TWENTY, rel: AFTER_TWENTY, what: 'logits' });
  });
}

for (const engine of presentEngines().filter(({ info }) => info.name !== 'typescript')) {
  test(`${engine.label}: hard examples with dropout have the gradients of the TypeScript engine`, async () => {
    const actual = await hardGradients(engine);
    for (const [name, gradient] of await hardGradients(createTypescriptEngine('reference'))) {
      assertClose(actual.get(name)!, gradient, { abs: 1e-6, rel: 1e-4, what: name });
    }
  });
}

test.run();
