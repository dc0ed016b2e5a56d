/**
 * Every op on every engine present: the float64 TypeScript engine against finite differences of its own loss, and each
 * float32 engine against the float64 one. A kind of op without a case fails the suite.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { EngineModel, OptimizerSettings, State } from '../../src/engine/engine.ts';
import { createTypescriptEngine } from '../../src/engine/typescript/engine.ts';
import { elementCount, OP_KINDS } from '../../src/model/program.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { assertClose } from '../assert.ts';
import { memoryStore, presentEngines } from './engines.ts';
import { INPUT_DIM, type OpCase, opCases } from './op-cases.ts';

const test = suite('ops');
const SGD: OptimizerSettings = { type: 'sgd', beta2: 0, eps: 0, weightDecay: 0 };
/** A power of two, like the grid of the parameters, so that perturbed values are exact in the float32 of a State. */
const STEP = 2 ** -9;
const GRID = 2 ** -12;
/** Four-point central difference: the error is of the order of STEP^4 times the fifth derivative. */
const DIFFERENCE_TOLERANCE = { abs: 2e-7, rel: 2e-6 };
/** Single precision through a few layers of width 6. */
const SINGLE_TOLERANCE = { abs: 2e-6, rel: 2e-5 };

const generator = new TorchGenerator(7);
const lengths = [3, 1, 7, 4, 5];
const store = memoryStore(
  INPUT_DIM,
  lengths.map((length) => {
    const rows = new Float32Array(length * INPUT_DIM);
    generator.normal(rows, 0, 1);
    return rows;
  }),
);
const batch = {
  proteinA: Int32Array.of(0, 2, 1, 4),
  proteinB: Int32Array.of(3, 3, 2, 4),
  labels: Float32Array.of(1, 0, 1, 0),
};

function startingState({ program }: OpCase): State {
  const random = new TorchGenerator(11);
  const state: State = new Map(
    program.buffers.map((b) => [b.name, new Float32Array(elementCount(b.shape)).fill(b.value)]),
  );
  for (const { name, shape } of program.parameters) {
    const values = new Float32Array(elementCount(shape));
    random.uniform(values, -1, 1);
    state.set(
      name,
      values.map((x) => Math.round(x / GRID) * GRID),
    );
  }
  return state;
}

async function lossOf(model: EngineModel, opCase: OpCase, state: State): Promise<number> {
  model.load(state);
  const settings = { step: 3, lr: 0, momentum: 0, hardExamples: opCase.hardExamples ?? null };
  const [{ lossSum, kept }] = await model.trainStep([{ batch, dropoutKey: [1, 2] }], settings);
  return lossSum / kept;
}

const cases = opCases();

test('every op kind has a case', () => {
  assert.equal([...new Set(cases.map(({ kind }) => kind))].sort(), [...OP_KINDS].sort());
  for (const { kind, name, program } of cases) {
    assert.ok(
      program.ops.some((op) => op.kind === kind),
      `${name} does not use ${kind}`,
    );
  }
});

for (const opCase of cases) {
  test(`${opCase.name}: gradients equal finite differences in float64`, async () => {
    const model = createTypescriptEngine('check', 'float64').createModel(opCase.program, store);
    model.setOptimizer(SGD, () => true, false);
    const state = startingState(opCase);
    await lossOf(model, opCase, state);
    const gradients = model.gradients();
    assert.is(gradients.size, opCase.program.parameters.length);
    for (const [name, gradient] of gradients) {
      const values = state.get(name)!;
      for (let i = 0; i < values.length; i += Math.max(1, Math.floor(values.length / 8))) {
        const centre = values[i];
        const at = async (offset: number) => {
          values[i] = centre + offset * STEP;
          return lossOf(model, opCase, state);
        };
        const difference = (8 * ((await at(1)) - (await at(-1))) - ((await at(2)) - (await at(-2)))) / (12 * STEP);
        values[i] = centre;
        assertClose(gradient[i], difference, { ...DIFFERENCE_TOLERANCE, what: `${name}[${i}]` });
      }
    }
  });

  for (const engine of presentEngines()) {
    test(`${opCase.name}: ${engine.label} agrees with float64`, async () => {
      const state = startingState(opCase);
      const results = [];
      for (const each of [engine, createTypescriptEngine('truth', 'float64')]) {
        const model = each.createModel(opCase.program, store);
        model.setOptimizer(SGD, () => true, false);
        const loss = await lossOf(model, opCase, state);
        results.push({ loss, gradients: model.gradients(), logits: (await model.evaluate(batch)).logits });
        model.dispose();
      }
      const [actual, truth] = results;
      assertClose(actual.loss, truth.loss, { ...SINGLE_TOLERANCE, what: 'loss' });
      assertClose(actual.logits, truth.logits, { ...SINGLE_TOLERANCE, what: 'logits' });
      for (const [name, gradient] of truth.gradients) {
        assertClose(actual.gradients.get(name)!, gradient, { ...SINGLE_TOLERANCE, what: name });
      }
    });
  }
}

test.run();
