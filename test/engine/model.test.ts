/** Behaviour that every engine must show, beyond its arithmetic. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Batch, Engine, EngineModel, OptimizerSettings, Shard, State, Step } from '../../src/engine/engine.ts';
import { ProgramBuilder } from '../../src/model/builder.ts';
import { elementCount, type Program } from '../../src/model/program.ts';
import { buildV3, type V3Config } from '../../src/model/v3.ts';
import { initialise } from '../../src/random/initialisers.ts';
import { dropoutKey } from '../../src/random/philox.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { assertClose, assertRejectsCode, assertThrowsCode } from '../assert.ts';
import { droppingV3, NO_LOSS_OPTIONS, smallV3 } from '../model/v3-config.ts';
import { memoryStore, presentEngines } from './engines.ts';

const ADAMW: OptimizerSettings = { type: 'adamw', beta2: 0.999, eps: 1e-8, weightDecay: 0 };
const SGD: OptimizerSettings = { type: 'sgd', beta2: 0, eps: 0, weightDecay: 0 };
const STEP = { step: 0, lr: 1e-2, momentum: 0.9, hardExamples: null };
const DIM = 8;

const generator = new TorchGenerator(3);
const store = memoryStore(
  DIM,
  [3, 5, 2, 9, 1, 4].map((length) => {
    const rows = new Float32Array(length * DIM);
    generator.normal(rows, 0, 1);
    return rows;
  }),
);
const batch: Batch = {
  proteinA: Int32Array.of(0, 1, 2, 5),
  proteinB: Int32Array.of(3, 4, 2, 0),
  labels: Float32Array.of(1, 0, 1, 0),
};
const pairOf = (i: number): Batch => ({
  proteinA: batch.proteinA.slice(i, i + 1),
  proteinB: batch.proteinB.slice(i, i + 1),
  labels: batch.labels.slice(i, i + 1),
});
const shard = (of: Batch = batch, rank = 0): Shard => ({ batch: of, dropoutKey: dropoutKey(47, rank, 'test') });

function initialState(program: Program): State {
  const random = new TorchGenerator(5);
  const shapes = new Map(program.parameters.map(({ name, shape }) => [name, shape]));
  const state: State = new Map(
    program.buffers.map((b) => [b.name, new Float32Array(elementCount(b.shape)).fill(b.value)]),
  );
  for (const { parameter, init } of program.initialDraws) {
    state.set(parameter, initialise(init, shapes.get(parameter)!, random));
  }
  return state;
}

function ready(engine: Engine, config: V3Config, settings = SGD, trainable = (_: string) => true): EngineModel {
  const model = engine.createModel(buildV3(config, NO_LOSS_OPTIONS), store);
  model.load(initialState(model.program));
  model.setOptimizer(settings, trainable, false);
  return model;
}

/** One logit a pair, made of a single weight and bias on the first embedding column: gradients by hand. */
function scalarProgram(): Program {
  const p = new ProgramBuilder('scalar', 1);
  p.parameter('query', [1, 1, 1]);
  p.linearParameters('out', 1, 1);
  const x = p.gather();
  const shape = {
    heads: 1,
    width: 1,
    segments: 'pairToBoth',
    queryOffset: 0,
    keyOffset: 0,
    valueOffset: 0,
    p: 0,
  } as const;
  const pooled = p.attention(p.expand('query', 'q'), x, shape, 'pool');
  return p.finish(p.linear(pooled, 'out.weight', 'out.bias', 'logits'), NO_LOSS_OPTIONS);
}

/** The bias's gradient is sigmoid(0) - 1 = -0.5 at logit 0 and label 1. */
async function biasAfter(engine: Engine, settings: OptimizerSettings, steps: { lr: number; momentum: number }[]) {
  const ones = memoryStore(1, [Float32Array.of(1)]);
  const model = engine.createModel(scalarProgram(), ones);
  const zero = new Map(model.program.stateNames.map((name) => [name, Float32Array.of(0)]));
  model.load(zero);
  model.setOptimizer(settings, (name) => name === 'out.bias', false);
  const one = { proteinA: Int32Array.of(0), proteinB: Int32Array.of(0), labels: Float32Array.of(1) };
  const seen: number[] = [];
  for (const [step, each] of steps.entries()) {
    await model.trainStep([shard(one)], { step, hardExamples: null, ...each });
    seen.push(model.state().get('out.bias')![0]);
  }
  model.dispose();
  return seen;
}

for (const engine of presentEngines()) {
  const test = suite(engine.label);

  test('AdamW takes a first step of exactly the learning rate, whatever the gradient', async () => {
    assertClose(await biasAfter(engine, { ...ADAMW, eps: 0 }, [{ lr: 0.25, momentum: 0.9 }]), [0.25], { rel: 1e-6 });
  });

  test('AdamW decays weights apart from the gradient', async () => {
    const settings = { ...ADAMW, eps: 0, weightDecay: 0.5 };
    const [first, second] = await biasAfter(engine, settings, [
      { lr: 0.25, momentum: 0.9 },
      { lr: 0, momentum: 0.9 },
    ]);
    assertClose([first, second], [0.25, 0.25], { rel: 1e-6 });
    const [, decayed] = await biasAfter(engine, { ...settings, beta2: 0.999 }, [
      { lr: 0.25, momentum: 0.9 },
      { lr: 0.1, momentum: 0.9 },
    ]);
    const gradients = [-0.5, 1 / (1 + Math.exp(-0.25)) - 1];
    const m = 0.9 * (0.1 * gradients[0]) + 0.1 * gradients[1];
    const v = 0.999 * (0.001 * gradients[0] ** 2) + 0.001 * gradients[1] ** 2;
    const step = (0.1 * (m / (1 - 0.9 ** 2))) / Math.sqrt(v / (1 - 0.999 ** 2));
    assertClose(decayed, 0.25 * (1 - 0.1 * 0.5) - step, { rel: 1e-5 });
  });

  test('SGD without momentum steps along the gradient; with it, the buffer starts as the first gradient', async () => {
    const plain = await biasAfter(engine, SGD, [{ lr: 0.25, momentum: 0 }]);
    assertClose(plain, [0.125], { rel: 1e-6 });
    const [first, second] = await biasAfter(engine, SGD, [
      { lr: 0.25, momentum: 0.5 },
      { lr: 0.25, momentum: 0.5 },
    ]);
    const next = 1 / (1 + Math.exp(-0.125)) - 1;
    assertClose([first, second], [0.125, 0.125 - 0.25 * (0.5 * -0.5 + next)], { rel: 1e-6 });
  });

  test('dropout depends on the step and the key, and on nothing else', async () => {
    const lossAt = async (step: number, rank: number) => {
      const model = ready(engine, droppingV3());
      const [{ lossSum }] = await model.trainStep([shard(batch, rank)], { ...STEP, step });
      model.dispose();
      return lossSum;
    };
    const [first, again, otherStep, otherRank] = [
      await lossAt(1, 0),
      await lossAt(1, 0),
      await lossAt(2, 0),
      await lossAt(1, 1),
    ];
    assert.is(first, again);
    assert.is.not(first, otherStep);
    assert.is.not(first, otherRank);
  });

  test('steps of one call are those of as many calls; a loss that is no number ends them', async () => {
    const model = ready(engine, droppingV3(), ADAMW);
    const alone = ready(engine, droppingV3(), ADAMW);
    if (model.trainSteps !== undefined) {
      const steps: Step[] = [0, 1, 2, 3].map((step) => ({
        shards: step === 2 ? [shard(), shard(pairOf(1), 1)] : [shard()],
        settings: {
          ...STEP,
          step,
          lr: 1e-2 / (step + 1),
          hardExamples: step === 1 ? { keepRatio: 0.5, minKeep: 1 } : null,
        },
      }));
      const { losses, stopped } = await model.trainSteps(steps);
      assert.is(stopped, null);
      const expected = [];
      for (const { shards, settings } of steps) expected.push(await alone.trainStep(shards, settings));
      assert.equal(losses, expected);
      for (const [name, values] of model.state()) assert.equal(values, alone.state().get(name), name);
      const wild = steps.map(({ shards, settings }) => ({ shards, settings: { ...settings, lr: 1e38 } }));
      const end = await model.trainSteps(wild);
      assert.is(end.losses.length, 1);
      assert.is(end.stopped?.code, 'RELIC_NOT_FINITE');
    }
    model.dispose();
    alone.dispose();
  });

  test('the same steps give byte-equal weights', async () => {
    const run = async () => {
      const model = ready(engine, droppingV3(), ADAMW);
      for (let step = 0; step < 5; step++) await model.trainStep([shard()], { ...STEP, step });
      const state = model.state();
      model.dispose();
      return state;
    };
    const [a, b] = [await run(), await run()];
    for (const [name, values] of a) assert.equal(values, b.get(name), name);
  });

  test('two shards take the step of the mean of their gradients', async () => {
    const whole = ready(engine, smallV3());
    await whole.trainStep([shard()], STEP);
    const split = ready(engine, smallV3());
    const losses = await split.trainStep(
      [0, 1, 2, 3].map((i) => shard(pairOf(i), i)),
      STEP,
    );
    assert.equal(
      losses.map(({ kept }) => kept),
      [1, 1, 1, 1],
    );
    for (const [name, gradient] of whole.gradients()) {
      assertClose(split.gradients().get(name)!, gradient, { abs: 1e-7, rel: 1e-5, what: name });
    }
    for (const [name, values] of whole.state())
      assertClose(split.state().get(name)!, values, { abs: 1e-8, rel: 1e-5, what: name });
    // From one state: the norm of the small CLS token makes 1e-5 of a gradient out of a last bit of the weights.
    split.load(whole.state());
    await split.trainStep([shard()], { ...STEP, lr: 0 });
    await whole.trainStep([shard()], { ...STEP, lr: 0 });
    for (const [name, gradient] of whole.gradients()) {
      assertClose(split.gradients().get(name)!, gradient, { abs: 1e-7, what: `${name} after one shard` });
    }
  });

  test('hard examples: the kept pairs are those of largest loss, and give the gradient of their own batch', async () => {
    const model = ready(engine, smallV3());
    const { lossPerPair } = await model.evaluate(batch);
    const order = [0, 1, 2, 3].sort((i, j) => lossPerPair[j] - lossPerPair[i]).slice(0, 2);
    const hardExamples = { keepRatio: 0.4, minKeep: 1 };
    const [{ kept, lossSum }] = await model.trainStep([shard()], { ...STEP, hardExamples });
    assert.is(kept, 2);
    assertClose(lossSum, lossPerPair[order[0]] + lossPerPair[order[1]], { rel: 1e-5 });
    const alone = ready(engine, smallV3());
    const pick = (values: Int32Array) => Int32Array.from(order, (i) => values[i]);
    const labels = Float32Array.from(order, (i) => batch.labels[i]);
    const own = { proteinA: pick(batch.proteinA), proteinB: pick(batch.proteinB), labels };
    await alone.trainStep([shard(own)], STEP);
    for (const [name, gradient] of alone.gradients()) {
      assertClose(model.gradients().get(name)!, gradient, { abs: 1e-7, rel: 1e-4, what: name });
    }
    const [{ kept: atLeast }] = await model.trainStep([shard()], {
      ...STEP,
      hardExamples: { keepRatio: 0.1, minKeep: 3 },
    });
    assert.is(atLeast, 3);
  });

  test('frozen parameters do not move, not even by weight decay', async () => {
    const settings = { ...ADAMW, weightDecay: 0.5 };
    const model = ready(engine, smallV3(), settings, (name) => name.startsWith('output_head'));
    const before = model.state();
    await model.trainStep([shard()], STEP);
    for (const [name, values] of model.state()) {
      const moved = values.some((x, i) => x !== before.get(name)![i]);
      assert.is(moved, name.startsWith('output_head'), name);
    }
  });

  test('moments survive a change of what is trained only when asked to', async () => {
    const after = async (keepState: boolean) => {
      const model = ready(engine, smallV3(), ADAMW, (name) => name.startsWith('output_head'));
      for (let step = 0; step < 3; step++) await model.trainStep([shard()], { ...STEP, step });
      model.setOptimizer(ADAMW, () => true, keepState);
      const before = model.state();
      await model.trainStep([shard()], { ...STEP, step: 3 });
      const [x, y] = [before, model.state()].map((state) => state.get('output_head.layers.8.bias')![0]);
      return Math.abs(y - x);
    };
    assertClose(await after(false), STEP.lr, { rel: 1e-3 });
    assert.ok(Math.abs((await after(true)) - STEP.lr) > 1e-5);
  });

  test('batch norm: training moves the running statistics by the first shard, scoring uses them', async () => {
    const config = smallV3({ mlp_head: { norm: 'batchnorm' } });
    const model = ready(engine, config);
    const before = await model.evaluate(batch);
    await model.trainStep([shard(), shard()], { ...STEP, lr: 0 });
    assert.is(model.state().get('output_head.layers.1.num_batches_tracked')![0], 1);
    const after = await model.evaluate(batch);
    assert.ok(after.logits.some((x, i) => x !== before.logits[i]));
    await assertRejectsCode(model.trainStep([shard(pairOf(0))], STEP), 'RELIC_BATCH_INVALID', /batch norm/i);
  });

  test('scores do not depend on the batch, nor on what was scored before', async () => {
    const model = ready(engine, droppingV3());
    const whole = await model.evaluate(batch);
    const parts = [];
    for (let i = 0; i < 4; i++) parts.push((await model.evaluate(pairOf(i))).logits[0]);
    assertClose(parts, whole.logits, { abs: 1e-6 });
    const fresh = ready(engine, droppingV3());
    assertClose((await fresh.evaluate(pairOf(3))).logits, [whole.logits[3]], { abs: 1e-6 });
    await model.trainStep([shard()], STEP);
    const trained = await model.evaluate(batch);
    fresh.load(model.state());
    assertClose(trained.logits, (await fresh.evaluate(batch)).logits, { abs: 1e-6, what: 'encoded after the step' });
    assert.ok(trained.logits.some((x, i) => Math.abs(x - whole.logits[i]) > 1e-4));
    model.load(initialState(model.program));
    assertClose((await model.evaluate(batch)).logits, whole.logits, { abs: 1e-7 });
  });

  test('the score of a pair depends on its order', async () => {
    const model = ready(engine, smallV3());
    const { logits } = await model.evaluate(batch);
    const swapped = await model.evaluate({ ...batch, proteinA: batch.proteinB, proteinB: batch.proteinA });
    assert.ok(Math.abs(swapped.logits[0] - logits[0]) > 1e-6);
    assertClose(swapped.logits[2], logits[2], { abs: 1e-6, what: 'a self pair' });
  });

  test('a loss that is not finite stops the step before any parameter changes', async () => {
    const model = ready(engine, smallV3());
    const state = model.state();
    state.get('output_head.layers.8.bias')![0] = Number.NaN;
    model.load(state);
    await assertRejectsCode(model.trainStep([shard()], STEP), 'RELIC_NOT_FINITE', /loss/);
    const { logits } = await model.evaluate(batch);
    assert.ok(logits.every(Number.isNaN));
    for (const [name, values] of model.state()) {
      assert.ok(
        values.every((x, i) => Object.is(x, state.get(name)![i])),
        name,
      );
    }
  });

  test('a state with a missing or misshapen tensor is refused whole', () => {
    const model = ready(engine, smallV3());
    const before = model.state();
    const missing = new Map(before);
    missing.delete('output_head.layers.8.bias');
    assertThrowsCode(() => model.load(missing), 'RELIC_CHECKPOINT_MISMATCH', /layers\.8\.bias/);
    const short = new Map(before).set('cross_attention.cls_token', new Float32Array(3));
    assertThrowsCode(() => model.load(short), 'RELIC_CHECKPOINT_MISMATCH', /cls_token/);
    for (const [name, values] of model.state()) assert.equal(values, before.get(name), name);
  });

  test('bytes are counted, and steady steps take no more', async () => {
    const model = ready(engine, droppingV3(), ADAMW);
    await model.trainStep([shard()], STEP);
    await model.evaluate(batch);
    const settled = model.memory();
    assert.ok(settled > 0);
    for (let step = 1; step < 20; step++) {
      await model.trainStep([shard()], { ...STEP, step });
      await model.evaluate(batch);
    }
    assert.is(model.memory(), settled);
    model.dispose();
    assert.is(model.memory(), 0);
  });

  test('after dispose every call says so, and a second dispose is nothing', async () => {
    const model = ready(engine, smallV3());
    model.dispose();
    model.dispose();
    assertThrowsCode(() => model.state(), 'RELIC_ENGINE_DISPOSED');
    assertThrowsCode(() => model.load(new Map()), 'RELIC_ENGINE_DISPOSED');
    assertThrowsCode(() => model.setOptimizer(SGD, () => true, false), 'RELIC_ENGINE_DISPOSED');
    await assertRejectsCode(model.trainStep([shard()], STEP), 'RELIC_ENGINE_DISPOSED');
    await assertRejectsCode(model.evaluate(batch), 'RELIC_ENGINE_DISPOSED');
  });

  test.run();
}
