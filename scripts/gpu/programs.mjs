// Writes the programs that the GPU is checked and timed with, as the engine would send them to it, so that a machine with a
// GPU needs no Node.js: node scripts/gpu/programs.mjs OUT.json. Beside its encoding, each has its ops as they were before
// the engine's fusions: interpreter.py computes those in float64.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { register } from 'tsx/esm/api';
import { PRESETS, presetConfig } from '../bench/preset-config.mjs';

register();
const { NativeModel } = await import('../../src/engine/native/model.ts');
const { ProgramBuilder } = await import('../../src/model/builder.ts');
const { elementCount } = await import('../../src/model/program.ts');
const { buildV3 } = await import('../../src/model/v3.ts');
const { opCases } = await import('../../test/engine/op-cases.ts');

/** Of the attention heads that the GPU has kernels for, and one that it pads. */
const HEAD_WIDTHS = [32, 40, 48, 64, 80, 96, 128];
const ATTENTION_INPUT = 16;
const RATE = 0.1;

/** What the engine sends: the program when a model is made, and its backward list with everything trained. */
function encoded(program) {
  const sent = {};
  const binding = {
    createModel: ({ program: words }) => {
      sent.words = words;
      return {
        stateLength: (index) => elementCount(shapeOf(program, program.stateNames[index])),
        setOptimizer: (_, words) => {
          sent.gradients = words;
        },
      };
    },
  };
  const store = { dim: program.inputDim, count: 0, lengths: new Int32Array(0), read: () => {} };
  const cuda = { library: '', device: 0, precision: 0, cublasPaths: [] };
  const model = new NativeModel(program, store, { binding, threads: 1, isa: '', bf16: false, cuda });
  model.setOptimizer({ type: 'adamw', beta2: 0, eps: 0, weightDecay: 0 }, () => true, false);
  return { words: Array.from(sent.words), gradients: Array.from(sent.gradients) };
}

function shapeOf({ parameters, buffers }, name) {
  return [...parameters, ...buffers].find((each) => each.name === name).shape;
}

function described(program) {
  const { inputDim, tensors, stateNames, buffers, ops, logits, lossPerPair } = program;
  const fills = new Map(buffers.map(({ name, value }) => [name, value]));
  return {
    inputDim,
    tensors: tensors.map(({ rows, cols }) => [rows, cols]),
    states: stateNames.map((name) => ({ name, shape: shapeOf(program, name), buffer: fills.get(name) ?? null })),
    ops,
    logits,
    lossPerPair,
    ...encoded(program),
  };
}

function preset(name, rate) {
  const config = presetConfig(name, rate);
  return { config, program: described(buildV3(config, { posWeight: 1, labelSmoothing: 0 })) };
}

/** Self-attention, A over B, B over A and one query over both, of two heads each. */
function attentionOf(headWidth) {
  const heads = 2;
  const width = heads * headWidth;
  const p = new ProgramBuilder(`attention ${headWidth}`, ATTENTION_INPUT);
  const linear = (x, inputs, outputs, name) => {
    p.linearParameters(name, inputs, outputs);
    return p.linear(x, `${name}.weight`, `${name}.bias`, name);
  };
  const attend = (q, kv, segments, offset) => {
    const shape = { heads, width, segments, queryOffset: 0, keyOffset: offset, valueOffset: offset + width, p: RATE };
    return p.attention(q, kv, shape, segments);
  };
  p.parameter('query', [1, 1, width]);
  const packed = linear(p.gather(), ATTENTION_INPUT, 3 * width, 'packed');
  const h = linear(attend(packed, packed, 'self', width), width, 3 * width, 'second');
  const [a, b] = [p.sliceRows(h, 'A', 'a'), p.sliceRows(h, 'B', 'b')];
  const both = p.concatRows(attend(a, b, 'aToB', width), attend(b, a, 'bToA', width), 'both');
  const pooled = attend(p.expand('query', 'cls'), linear(both, width, 2 * width, 'keyValue'), 'pairToBoth', 0);
  return p.finish(linear(pooled, width, 1, 'leave'), { posWeight: 1, labelSmoothing: 0 });
}

const FUSED = ['activationDropout', 'dropoutAdd', 'stochasticDepthAdd', 'absorbedAttention'];
const cases = opCases()
  .map(({ name, program, unfused, hardExamples = null }) => ({ name, program: unfused ?? program, hardExamples }))
  .filter(({ program }) => !program.ops.some(({ kind }) => FUSED.includes(kind)))
  .map(({ program, ...rest }) => ({ ...rest, program: described(program) }));

const out = process.argv[2];
if (out === undefined) throw new Error('usage: programs.mjs OUT.json');
mkdirSync(dirname(out), { recursive: true });
writeFileSync(
  out,
  JSON.stringify({
    presets: Object.fromEntries(
      Object.keys(PRESETS).map((name) => [name, { dropout: preset(name, RATE), plain: preset(name, 0) }]),
    ),
    cases,
    attention: HEAD_WIDTHS.map((width) => ({
      name: `attention, heads ${width} wide`,
      program: described(attentionOf(width)),
    })),
  }),
);
