/** Optimiser state out of one model and into another: the steps that follow must be the same, bit for bit. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Batch, Engine, EngineModel, OptimizerSettings, OptimizerState, State } from '../../src/engine/engine.ts';
import { checkOptimizerState } from '../../src/engine/optimizer-state.ts';
import { buildV3 } from '../../src/model/v3.ts';
import { dropoutKey } from '../../src/random/philox.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { initialState } from '../../src/train/initial-state.ts';
import { assertThrowsCode } from '../assert.ts';
import { droppingV3, NO_LOSS_OPTIONS } from '../model/v3-config.ts';
import { memoryStore, presentEngines } from './engines.ts';

const ADAMW: OptimizerSettings = { type: 'adamw', beta2: 0.99, eps: 1e-8, weightDecay: 0.01 };
const SGD: OptimizerSettings = { type: 'sgd', beta2: 0, eps: 0, weightDecay: 0.01 };
const DIM = 8;
const everything = () => true;
const head = (name: string) => name.startsWith('output_head');

const generator = new TorchGenerator(3);
const store = memoryStore(
  DIM,
  [3, 5, 2, 9].map((length) => {
    const rows = new Float32Array(length * DIM);
    generator.normal(rows, 0, 1);
    return rows;
  }),
);
const batch: Batch = {
  proteinA: Int32Array.of(0, 1, 2),
  proteinB: Int32Array.of(3, 2, 0),
  labels: Float32Array.of(1, 0, 1),
};
const program = buildV3(droppingV3(0.2), NO_LOSS_OPTIONS);

function fresh(engine: Engine): EngineModel {
  return engine.createModel(program, store);
}

async function steps(model: EngineModel, from: number, count: number): Promise<void> {
  for (let step = from; step < from + count; step++) {
    const settings = { step, lr: 1e-2 / (step + 1), momentum: 0.9 - step / 100, hardExamples: null };
    await model.trainStep([{ batch, dropoutKey: dropoutKey(1, 0, 'test') }], settings);
  }
}

const bytesOf = (state: State) =>
  Array.from(state, ([name, values]) => [name, Buffer.from(values.buffer).toString('hex')]);

for (const engine of presentEngines()) {
  const test = suite(`optimizer state: ${engine.label}`);

  for (const settings of [ADAMW, SGD]) {
    test(`${settings.type}: a model that takes it over goes on as the other would have`, async () => {
      const first = fresh(engine);
      first.load(initialState(program, new TorchGenerator(5)));
      first.setOptimizer(settings, head, false);
      await steps(first, 0, 2);
      // The head then has two steps more than the rest.
      first.setOptimizer(settings, everything, true);
      await steps(first, 2, 1);
      const [weights, moments] = [first.state(), first.optimizerState()];
      await steps(first, 3, 3);

      const second = fresh(engine);
      second.load(weights);
      second.setOptimizer(settings, everything, false);
      second.loadOptimizerState(moments);
      await steps(second, 3, 3);
      assert.equal(bytesOf(second.state()), bytesOf(first.state()));
      assert.equal([...moments.keys()], program.stateNames, 'all in state-dict order');
      assert.is(moments.get('output_head.layers.0.weight')?.steps, 3);
      assert.is(moments.get('encoder.output_norm.weight')?.steps, 1);
      for (const { first: m, second: v } of moments.values()) {
        assert.is(v.length, settings.type === 'adamw' ? m.length : 0);
      }
      first.dispose();
      second.dispose();
    });
  }

  test('before the first step it is all zeros, and can be taken over as well', async () => {
    const [one, two] = [fresh(engine), fresh(engine)];
    for (const model of [one, two]) {
      model.load(initialState(program, new TorchGenerator(5)));
      model.setOptimizer(ADAMW, everything, false);
    }
    const moments = one.optimizerState();
    for (const each of moments.values()) {
      assert.is(each.steps, 0);
      assert.ok(each.first.every((value) => value === 0) && each.second.every((value) => value === 0));
    }
    two.loadOptimizerState(moments);
    await steps(one, 0, 2);
    await steps(two, 0, 2);
    assert.equal(bytesOf(two.state()), bytesOf(one.state()));
    one.dispose();
    two.dispose();
  });

  test('it is a copy, and covers what is trained alone', async () => {
    const model = fresh(engine);
    model.load(initialState(program, new TorchGenerator(5)));
    model.setOptimizer(ADAMW, head, false);
    await steps(model, 0, 1);
    const moments = model.optimizerState();
    assert.equal([...moments.keys()], program.stateNames.filter(head));
    moments.get('output_head.layers.0.weight')!.first.fill(7);
    assert.not.ok(model.optimizerState().get('output_head.layers.0.weight')!.first.includes(7));
    model.dispose();
  });

  test('another set of parameters is refused, and changes nothing', async () => {
    const model = fresh(engine);
    assertThrowsCode(() => model.optimizerState(), 'RELIC_USAGE', /setOptimizer/);
    assertThrowsCode(() => model.loadOptimizerState(new Map()), 'RELIC_USAGE');
    model.load(initialState(program, new TorchGenerator(5)));
    model.setOptimizer(ADAMW, everything, false);
    await steps(model, 0, 1);
    const before = model.optimizerState();
    const changed: OptimizerState = new Map(
      Array.from(before, ([name, each]) => [name, { ...each, steps: 9 }] as const).slice(1),
    );
    assertThrowsCode(() => model.loadOptimizerState(changed), 'RELIC_CHECKPOINT_MISMATCH', /no state for/);
    assert.equal([...model.optimizerState()], [...before]);
    model.dispose();
    assertThrowsCode(() => model.optimizerState(), 'RELIC_ENGINE_DISPOSED');
    assertThrowsCode(() => model.loadOptimizerState(before), 'RELIC_ENGINE_DISPOSED');
  });

  test.run();
}

const check = suite('checkOptimizerState');

check('tells every difference at once', () => {
  const moments = (length: number, steps = 1) => ({
    steps,
    first: new Float32Array(length),
    second: new Float32Array(length),
  });
  const state: OptimizerState = new Map([
    ['short', moments(2)],
    ['odd', moments(3, 1.5)],
    ['extra', moments(3)],
  ]);
  const lengths = new Map(['short', 'odd', 'missing'].map((name) => [name, 3]));
  const { problems } = assertThrowsCode(
    () => checkOptimizerState(state, 'adamw', lengths),
    'RELIC_CHECKPOINT_MISMATCH',
  );
  assert.equal(
    problems.map(({ where }) => where),
    ['short', 'odd', 'missing', 'extra'],
  );
  // SGD has no second moment.
  assertThrowsCode(
    () => checkOptimizerState(new Map([['a', moments(3)]]), 'sgd', new Map([['a', 3]])),
    'RELIC_CHECKPOINT_MISMATCH',
  );
});

check.run();
