/** Small programs, at least one an op kind, in which the gradient of every parameter runs through the op under test. */
import { ProgramBuilder } from '../../src/model/builder.ts';
import { fuse } from '../../src/model/fuse.ts';
import type { ActivationName, OpKind, Program, Segments, TensorId } from '../../src/model/program.ts';

export const INPUT_DIM = 5;
const WIDTH = 6;
const HEADS = 2;

export interface OpCase {
  readonly kind: OpKind;
  readonly name: string;
  readonly program: Program;
  readonly hardExamples?: { keepRatio: number; minKeep: number };
}

type Body = (p: ProgramBuilder, x: TensorId) => TensorId;

function layer(p: ProgramBuilder, name: string, inputs: number, outputs: number): (x: TensorId) => TensorId {
  p.linearParameters(name, inputs, outputs);
  return (x) => p.linear(x, `${name}.weight`, `${name}.bias`, name);
}

/** embeddings -> linear -> body (tokens, WIDTH) -> a learned query over both proteins -> body of pairs -> logit */
function program(
  name: string,
  tokens: Body,
  pairs: Body = (_, x) => x,
  loss = { posWeight: 1, labelSmoothing: 0 },
  poolDropout = 0,
): Program {
  const p = new ProgramBuilder(name, INPUT_DIM);
  const enter = layer(p, 'enter', INPUT_DIM, WIDTH);
  const keyValue = layer(p, 'keyValue', WIDTH, 2 * WIDTH);
  const leave = layer(p, 'leave', WIDTH, 1);
  p.parameter('query', [1, 1, WIDTH]);
  const h = tokens(p, enter(p.gather()));
  const attributes = {
    heads: HEADS,
    width: WIDTH,
    segments: 'pairToBoth',
    queryOffset: 0,
    keyOffset: 0,
    valueOffset: WIDTH,
    p: poolDropout,
  } as const;
  const pooled = p.attention(p.expand('query', 'cls'), keyValue(h), attributes, 'pool');
  return p.finish(leave(pairs(p, pooled)), loss);
}

function attentionBody(segments: Segments, rate: number): Body {
  return (p, x) => {
    const packed = layer(p, 'packed', WIDTH, 3 * WIDTH)(x);
    const shape = {
      heads: HEADS,
      width: WIDTH,
      segments,
      queryOffset: 0,
      keyOffset: WIDTH,
      valueOffset: 2 * WIDTH,
      p: rate,
    };
    if (segments === 'self') return p.attention(packed, packed, shape, 'self');
    const [a, b] = [p.sliceRows(packed, 'A', 'a'), p.sliceRows(packed, 'B', 'b')];
    const mixed = segments === 'aToB' ? p.attention(a, b, shape, 'cross') : p.attention(b, a, shape, 'cross');
    const rest = segments === 'aToB' ? p.sliceRows(x, 'B', 'rest') : p.sliceRows(x, 'A', 'rest');
    return segments === 'aToB' ? p.concatRows(mixed, rest, 'both') : p.concatRows(rest, mixed, 'both');
  };
}

const norm = (p: ProgramBuilder) => {
  p.normParameters('norm', WIDTH);
  return 'norm';
};

export function opCases(): OpCase[] {
  const cases: OpCase[] = [
    { kind: 'gather', name: 'gather', program: program('gather', (_, x) => x) },
    { kind: 'expand', name: 'expand', program: program('expand', (_, x) => x) },
    {
      kind: 'linear',
      name: 'linear: two slices of one weight, both used twice',
      program: program('linear', (p, x) => {
        p.parameter('packed.weight', [2 * WIDTH, WIDTH]);
        p.parameter('packed.bias', [2 * WIDTH]);
        const part = (y: TensorId, row: number, name: string) =>
          p.linear(y, 'packed.weight', 'packed.bias', name, { row, rows: WIDTH });
        const first = p.add(part(x, 0, 'a'), part(x, WIDTH, 'b'), 'c');
        return p.add(part(first, 0, 'd'), part(first, WIDTH, 'e'), 'f');
      }),
    },
    { kind: 'layerNorm', name: 'layerNorm', program: program('layerNorm', (p, x) => p.layerNorm(x, norm(p))) },
    {
      kind: 'batchNorm',
      name: 'batchNorm',
      program: program(
        'batchNorm',
        (_, x) => x,
        (p, x) => {
          norm(p);
          p.batchNormBuffers('norm', WIDTH);
          return p.batchNorm(x, 'norm');
        },
      ),
    },
    { kind: 'dropout', name: 'dropout', program: program('dropout', (p, x) => p.dropout(x, 0.3, 'drop')) },
    {
      kind: 'add',
      name: 'add: a residual around a layer',
      program: program('add', (p, x) => p.add(x, layer(p, 'inner', WIDTH, WIDTH)(x), 'sum')),
    },
    {
      kind: 'stochasticDepth',
      name: 'stochasticDepth',
      program: program('stochasticDepth', (p, x) =>
        p.stochasticDepth(x, layer(p, 'inner', WIDTH, WIDTH)(x), 0.4, 'path'),
      ),
    },
    {
      kind: 'sliceRows',
      name: 'sliceRows and concatRows in the other order of use',
      program: program('sliceRows', (p, x) => {
        const [a, b] = [p.sliceRows(x, 'A', 'a'), p.sliceRows(x, 'B', 'b')];
        return p.concatRows(layer(p, 'onlyA', WIDTH, WIDTH)(a), b, 'joined');
      }),
    },
    {
      kind: 'concatRows',
      name: 'concatRows',
      program: program('concatRows', (p, x) => {
        const [a, b] = [p.sliceRows(x, 'A', 'a'), p.sliceRows(x, 'B', 'b')];
        return p.concatRows(a, layer(p, 'onlyB', WIDTH, WIDTH)(b), 'joined');
      }),
    },
    {
      kind: 'bceLoss',
      name: 'bceLoss: weighted, smoothed, hard examples',
      program: program('bceLoss', (_, x) => x, undefined, { posWeight: 2.5, labelSmoothing: 0.1 }),
      hardExamples: { keepRatio: 0.5, minKeep: 1 },
    },
  ];
  const fused = (kind: OpKind, name: string, tokens: Body) => {
    cases.push({ kind, name: `${kind}: ${name}`, program: fuse(program(kind, tokens)) });
  };
  for (const f of ['gelu', 'tanh'] satisfies ActivationName[]) {
    fused('activationDropout', f, (p, x) => p.dropout(p.activation(x, f, f), 0.3, 'drop'));
  }
  const twice = (p: ProgramBuilder, x: TensorId) => p.dropout(p.dropout(x, 0.1, 'first'), 0.2, 'second');
  const inner = (p: ProgramBuilder, x: TensorId) => layer(p, 'inner', WIDTH, WIDTH)(x);
  fused('dropoutAdd', 'one dropout', (p, x) => p.add(x, p.dropout(inner(p, x), 0.3, 'drop'), 'sum'));
  fused('dropoutAdd', 'two dropouts of one tensor', (p, x) => p.add(x, twice(p, x), 'sum'));
  fused('stochasticDepthAdd', 'no dropout', (p, x) => p.stochasticDepth(x, p.add(x, inner(p, x), 'sum'), 0.4, 'path'));
  fused('stochasticDepthAdd', 'two dropouts', (p, x) => {
    const h = p.add(x, inner(p, x), 'h');
    return p.stochasticDepth(x, p.add(h, twice(p, h), 'sum'), 0.3, 'path');
  });
  for (const rate of [0, 0.25]) {
    const name = `absorbedAttention: dropout ${rate}`;
    cases.push({
      kind: 'absorbedAttention',
      name,
      program: fuse(program(name, (_, x) => x, undefined, undefined, rate)),
    });
  }
  for (const f of ['gelu', 'relu', 'silu', 'tanh'] satisfies ActivationName[]) {
    cases.push({ kind: 'activation', name: `activation ${f}`, program: program(f, (p, x) => p.activation(x, f, f)) });
  }
  for (const segments of ['self', 'aToB', 'bToA'] satisfies Segments[]) {
    for (const rate of [0, 0.25]) {
      const name = `attention ${segments}, dropout ${rate}`;
      cases.push({ kind: 'attention', name, program: program('attention', attentionBody(segments, rate)) });
    }
  }
  return cases;
}
