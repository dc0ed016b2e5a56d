import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { differentiate } from '../../src/model/autodiff.ts';
import { ProgramBuilder } from '../../src/model/builder.ts';
import { buildV3 } from '../../src/model/v3.ts';
import { assertThrowsCode } from '../assert.ts';
import { NO_LOSS_OPTIONS, smallV3 } from './v3-config.ts';

const test = suite('autodiff');
const program = buildV3(smallV3(), NO_LOSS_OPTIONS);

test('every parameter is trained when all are trainable', () => {
  const { trained } = differentiate(program, () => true);
  assert.equal(
    trained,
    program.parameters.map(({ name }) => name),
  );
});

test('the first contribution to each gradient writes and every later one adds', () => {
  const { ops } = differentiate(program, () => true);
  const tensors = new Set<number>();
  const slices = new Set<string>();
  for (const { inputs, parameters } of ops) {
    const before = new Set(tensors);
    for (const each of inputs) {
      if (each === null) continue;
      assert.is(each.accumulate, before.has(each.target));
      tensors.add(each.target);
    }
    for (const each of parameters) {
      if (each === null) continue;
      const key = `${each.target.name}:${each.target.row}`;
      assert.is(each.accumulate, slices.has(key), key);
      slices.add(key);
    }
  }
});

test('a gradient is complete before an op reads it', () => {
  const { ops } = differentiate(program, () => true);
  const read = new Set<number>();
  for (const { inputs, outputs } of ops) {
    for (const id of outputs) if (id !== null) read.add(id);
    for (const each of inputs)
      if (each !== null) assert.not.ok(read.has(each.target), program.tensors[each.target].name);
  }
});

test('weights that serve both directions of a cross layer get both contributions', () => {
  const { ops } = differentiate(program, () => true);
  const flags = ops.flatMap(({ parameters }) =>
    parameters.flatMap((p) => (p?.target.name === 'cross_attention.layers.0.ffn.0.weight' ? [p.accumulate] : [])),
  );
  assert.equal(flags, [false, true]);
});

test('a frozen encoder costs no backward: only ops of the head are left', () => {
  const { ops, trained } = differentiate(program, (name) => name.startsWith('output_head'));
  assert.ok(trained.every((name) => name.startsWith('output_head')));
  for (const { op } of ops) {
    const { kind, parameters } = program.ops[op];
    assert.ok(
      parameters.every(({ name }) => name.startsWith('output_head')),
      `${kind} of ${parameters[0]?.name}`,
    );
  }
  const first = ops[ops.length - 1];
  assert.is(first.inputs[0], null, 'the first head layer sends no gradient into the frozen part');
});

test('nothing trainable, nothing to do', () => {
  assert.equal(
    differentiate(program, () => false),
    { ops: [], trained: [] },
  );
});

test('a parameter of which only a part is used is refused', () => {
  const p = new ProgramBuilder('partial', 4);
  p.parameter('w.weight', [6, 4]);
  p.parameter('w.bias', [6]);
  p.parameter('query', [1, 1, 3]);
  const x = p.linear(p.gather(), 'w.weight', 'w.bias', 'x', { row: 3, rows: 3 });
  const attributes = {
    heads: 1,
    width: 3,
    segments: 'pairToBoth',
    queryOffset: 0,
    keyOffset: 0,
    valueOffset: 0,
    p: 0,
  } as const;
  const pooled = p.attention(p.expand('query', 'q'), x, attributes, 'pool');
  p.linearParameters('out', 3, 1);
  const partial = p.finish(p.linear(pooled, 'out.weight', 'out.bias', 'logits'), NO_LOSS_OPTIONS);
  assertThrowsCode(() => differentiate(partial, () => true), 'RELIC_PROGRAM_INVALID', /w\.weight/);
});

test.run();
