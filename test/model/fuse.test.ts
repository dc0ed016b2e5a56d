import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createTypescriptEngine } from '../../src/engine/typescript/engine.ts';
import { ProgramBuilder } from '../../src/model/builder.ts';
import { fuse } from '../../src/model/fuse.ts';
import { forInference } from '../../src/model/inference.ts';
import { type OpKind, type Program, verifyProgram } from '../../src/model/program.ts';
import { buildV3 } from '../../src/model/v3.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { initialState } from '../../src/train/initial-state.ts';
import { assertClose } from '../assert.ts';
import { memoryStore } from '../engine/engines.ts';
import { droppingV3, NO_LOSS_OPTIONS } from './v3-config.ts';

const test = suite('fuse');
const count = ({ ops }: Program, kind: OpKind) => ops.filter((op) => op.kind === kind).length;

test('V3 has no dropout, activation or projection of its own left where a fusion can hold it', () => {
  const program = buildV3(droppingV3(), NO_LOSS_OPTIONS);
  const fused = fuse(program);
  verifyProgram(fused);
  // Two encoder and two cross layers, a head of two hidden layers; a cross layer updates A, B and CLS.
  assert.is(count(fused, 'activationDropout'), 2 + 2 * 3 + 2);
  assert.is(count(fused, 'dropoutAdd'), 2 + 2 * 6);
  assert.is(count(fused, 'stochasticDepthAdd'), 2);
  assert.is(count(fused, 'absorbedAttention'), 2);
  assert.equal([count(fused, 'activation'), count(fused, 'dropout'), count(fused, 'add')], [0, 1, 0]);
  assert.is(count(fused, 'linear'), count(program, 'linear') - 2);
  assert.equal(fused.tensors.slice(0, program.tensors.length), program.tensors);
});

test('a program for scoring keeps nothing but the absorbed attention to fuse', () => {
  const fused = fuse(forInference(buildV3(droppingV3(), NO_LOSS_OPTIONS)));
  verifyProgram(fused);
  assert.equal(
    (['activationDropout', 'dropoutAdd', 'stochasticDepthAdd', 'absorbedAttention'] as const).map((kind) =>
      count(fused, kind),
    ),
    [0, 0, 0, 2],
  );
});

test('what something else reads is left alone', () => {
  const p = new ProgramBuilder('shared', 4);
  p.linearParameters('logit', 4, 1);
  p.parameter('query', [1, 1, 4]);
  const x = p.gather();
  const active = p.activation(x, 'relu', 'active');
  const dropped = p.dropout(active, 0.5, 'dropped');
  const sum = p.add(active, dropped, 'sum');
  const both = p.add(sum, dropped, 'both');
  const shape = {
    heads: 1,
    width: 4,
    segments: 'pairToBoth',
    queryOffset: 0,
    keyOffset: 0,
    valueOffset: 0,
    p: 0,
  } as const;
  const pooled = p.attention(p.expand('query', 'cls'), both, shape, 'pool');
  const program = p.finish(p.linear(pooled, 'logit.weight', 'logit.bias', 'logits'), NO_LOSS_OPTIONS);
  assert.equal(fuse(program).ops, program.ops);
});

test('with dropout on, a fused V3 trains and scores as the program it came from', async () => {
  const program = buildV3(droppingV3(), NO_LOSS_OPTIONS);
  const generator = new TorchGenerator(3);
  const rows = [3, 5, 2, 9].map((length) => {
    const values = new Float32Array(length * program.inputDim);
    generator.normal(values, 0, 1);
    return values;
  });
  const batch = { proteinA: Int32Array.of(0, 1), proteinB: Int32Array.of(2, 3), labels: Float32Array.of(1, 0) };
  const results = [];
  for (const each of [program, fuse(program)]) {
    const model = createTypescriptEngine('test', 'float64').createModel(each, memoryStore(program.inputDim, rows));
    model.load(initialState(program, new TorchGenerator(5)));
    model.setOptimizer({ type: 'sgd', beta2: 0, eps: 0, weightDecay: 0 }, () => true, false);
    const settings = { step: 4, lr: 0, momentum: 0, hardExamples: null };
    const [{ lossSum }] = await model.trainStep([{ batch, dropoutKey: [1, 2] }], settings);
    results.push({ lossSum, gradients: model.gradients(), logits: (await model.evaluate(batch)).logits });
  }
  const [plain, fused] = results;
  // Both run in float64 and are read as float32.
  assertClose(fused.lossSum, plain.lossSum, { rel: 1e-12, what: 'loss' });
  assertClose(fused.logits, plain.logits, { abs: 1e-7, rel: 1e-7, what: 'logits' });
  for (const [name, gradient] of plain.gradients) {
    assertClose(fused.gradients.get(name)!, gradient, { abs: 1e-9, rel: 1e-6, what: name });
  }
});

test.run();
