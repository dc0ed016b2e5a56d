/**
 * RELIC V3 (contract 1.6): a shared pre-norm transformer encoder, cross-attention layers between the two proteins with
 * a CLS query that gathers both, and an MLP head. f(A, B) differs from f(B, A): B attends to the updated A.
 *
 * Parameter names, shapes, their order and the order of the initial draws are those of the PyTorch program, so that a
 * seed gives the same weights and a checkpoint is read and written unchanged.
 */
import { ProgramBuilder } from './builder.ts';
import type { ActivationName, Program, Segments, TensorId } from './program.ts';

export interface V3Config {
  readonly input_dim: number;
  readonly d_model: number;
  readonly encoder_layers: number;
  readonly cross_attn_layers: number;
  readonly n_heads: number;
  readonly mlp_head: {
    readonly hidden_dims: readonly number[];
    readonly dropout: number;
    readonly activation: ActivationName;
    readonly norm: 'layernorm' | 'batchnorm' | 'none';
  };
  readonly regularization: {
    readonly dropout: number;
    readonly token_dropout: number;
    readonly cross_attention_dropout: number;
    readonly stochastic_depth: number;
  };
}

/** Standard deviation of the CLS token's initial values. */
const CLS_STD = 0.02;

/** @param loss contract 1.7: `posWeight` multiplies the positive term, labels are smoothed towards 0.5 */
export function buildV3(config: V3Config, loss: { posWeight: number; labelSmoothing: number }): Program {
  const p = new ProgramBuilder('v3', config.input_dim);
  const { d_model: d, n_heads: heads, regularization } = config;
  declareEncoder(p, config);
  declareCross(p, config);
  declareHead(p, config);

  let h = p.linear(p.gather(), 'encoder.input_projection.weight', 'encoder.input_projection.bias', 'projected');
  h = p.dropout(h, regularization.token_dropout, 'tokenDropout');
  for (let i = 0; i < config.encoder_layers; i++) {
    const rate = (regularization.stochastic_depth * (i + 1)) / config.encoder_layers;
    h = encoderLayer(p, h, `encoder.layers.${i}`, d, heads, regularization.dropout, rate);
  }
  h = p.layerNorm(h, 'encoder.output_norm');

  let a = p.sliceRows(h, 'A', 'encodedA');
  let b = p.sliceRows(h, 'B', 'encodedB');
  let cls = p.expand('cross_attention.cls_token', 'cls');
  for (let i = 0; i < config.cross_attn_layers; i++) {
    const prefix = `cross_attention.layers.${i}`;
    const rate = regularization.cross_attention_dropout;
    a = crossUpdate(p, a, b, prefix, d, heads, rate, 'aToB');
    b = crossUpdate(p, b, a, prefix, d, heads, rate, 'bToA');
    cls = clsUpdate(p, cls, p.concatRows(a, b, `${prefix}.both`), prefix, d, heads, rate);
  }
  return p.finish(head(p, cls, config), loss);
}

function declareAttention(p: ProgramBuilder, prefix: string, d: number): void {
  p.parameter(`${prefix}.in_proj_weight`, [3 * d, d]);
  p.parameter(`${prefix}.in_proj_bias`, [3 * d]);
  p.linearParameters(`${prefix}.out_proj`, d, d);
  // torch.nn.MultiheadAttention draws the output projection first and clears its bias afterwards.
  p.drawLinear(`${prefix}.out_proj`, d);
  p.draw(`${prefix}.in_proj_weight`, { kind: 'xavierUniform' });
  p.draw(`${prefix}.in_proj_bias`, { kind: 'constant', value: 0 });
  p.draw(`${prefix}.out_proj.bias`, { kind: 'constant', value: 0 });
}

function declareLinear(p: ProgramBuilder, prefix: string, inputs: number, outputs: number): void {
  p.linearParameters(prefix, inputs, outputs);
  p.drawLinear(prefix, inputs);
}

function declareEncoder(p: ProgramBuilder, { input_dim, d_model: d, encoder_layers }: V3Config): void {
  declareLinear(p, 'encoder.input_projection', input_dim, d);
  for (let i = 0; i < encoder_layers; i++) {
    const prefix = `encoder.layers.${i}`;
    declareAttention(p, `${prefix}.self_attn`, d);
    declareLinear(p, `${prefix}.linear1`, d, 4 * d);
    declareLinear(p, `${prefix}.linear2`, 4 * d, d);
    p.normParameters(`${prefix}.norm1`, d);
    p.normParameters(`${prefix}.norm2`, d);
  }
  p.normParameters('encoder.output_norm', d);
}

function declareCross(p: ProgramBuilder, { d_model: d, cross_attn_layers }: V3Config): void {
  p.parameter('cross_attention.cls_token', [1, 1, d]);
  p.draw('cross_attention.cls_token', { kind: 'normal', mean: 0, std: CLS_STD });
  for (let i = 0; i < cross_attn_layers; i++) {
    const prefix = `cross_attention.layers.${i}`;
    for (const norm of ['norm_attn', 'norm_ffn', 'norm_cls_attn', 'norm_cls_ffn']) {
      p.normParameters(`${prefix}.${norm}`, d);
    }
    declareAttention(p, `${prefix}.attn`, d);
    declareLinear(p, `${prefix}.ffn.0`, d, 4 * d);
    declareLinear(p, `${prefix}.ffn.3`, 4 * d, d);
    declareAttention(p, `${prefix}.attn_cls`, d);
    declareLinear(p, `${prefix}.ff_cls.0`, d, 2 * d);
    declareLinear(p, `${prefix}.ff_cls.3`, 2 * d, d);
  }
}

function declareHead(p: ProgramBuilder, { d_model, mlp_head }: V3Config): void {
  const linears: string[] = [];
  let width = d_model;
  mlp_head.hidden_dims.forEach((hidden, k) => {
    linears.push(`output_head.layers.${4 * k}`);
    declareLinear(p, linears[k], width, hidden);
    const norm = `output_head.layers.${4 * k + 1}`;
    if (mlp_head.norm !== 'none') p.normParameters(norm, hidden);
    if (mlp_head.norm === 'batchnorm') p.batchNormBuffers(norm, hidden);
    width = hidden;
  });
  linears.push(`output_head.layers.${4 * mlp_head.hidden_dims.length}`);
  declareLinear(p, linears[linears.length - 1], width, 1);
  // The head draws every linear a second time, Xavier-uniform with zero biases.
  for (const linear of linears) {
    p.draw(`${linear}.weight`, { kind: 'xavierUniform' });
    p.draw(`${linear}.bias`, { kind: 'constant', value: 0 });
  }
}

/** Linear -> GELU -> dropout -> linear -> dropout. */
function feedForward(p: ProgramBuilder, x: TensorId, first: string, second: string, rate: number): TensorId {
  let h = p.linear(x, `${first}.weight`, `${first}.bias`, first);
  h = p.dropout(p.activation(h, 'gelu', `${first}.gelu`), rate, `${first}.dropout`);
  return p.dropout(p.linear(h, `${second}.weight`, `${second}.bias`, second), rate, `${second}.dropout`);
}

/** Multi-head attention of normed queries over raw keys and values, with its output projection. */
function attend(
  p: ProgramBuilder,
  query: TensorId,
  other: TensorId,
  prefix: string,
  d: number,
  heads: number,
  rate: number,
  segments: Segments,
): TensorId {
  const [weight, bias] = [`${prefix}.in_proj_weight`, `${prefix}.in_proj_bias`];
  const tag = `${prefix}.${segments}`;
  const shape = { heads, width: d, segments, queryOffset: 0, p: rate };
  let mixed: TensorId;
  if (query === other) {
    const packed = p.linear(query, weight, bias, `${tag}.qkv`);
    mixed = p.attention(packed, packed, { ...shape, keyOffset: d, valueOffset: 2 * d }, tag);
  } else {
    const q = p.linear(query, weight, bias, `${tag}.q`, { row: 0, rows: d });
    const kv = p.linear(other, weight, bias, `${tag}.kv`, { row: d, rows: 2 * d });
    mixed = p.attention(q, kv, { ...shape, keyOffset: 0, valueOffset: d }, tag);
  }
  return p.linear(mixed, `${prefix}.out_proj.weight`, `${prefix}.out_proj.bias`, `${tag}.out`);
}

function encoderLayer(
  p: ProgramBuilder,
  x: TensorId,
  prefix: string,
  d: number,
  heads: number,
  rate: number,
  depthRate: number,
): TensorId {
  const normed = p.layerNorm(x, `${prefix}.norm1`);
  let mixed = attend(p, normed, normed, `${prefix}.self_attn`, d, heads, rate, 'self');
  mixed = p.dropout(mixed, rate, `${prefix}.dropout1`);
  const h = p.add(x, mixed, `${prefix}.residual1`);
  const ffn = feedForward(p, p.layerNorm(h, `${prefix}.norm2`), `${prefix}.linear1`, `${prefix}.linear2`, rate);
  return p.stochasticDepth(x, p.add(h, ffn, `${prefix}.residual2`), depthRate, `${prefix}.dropPath`);
}

function crossUpdate(
  p: ProgramBuilder,
  query: TensorId,
  other: TensorId,
  prefix: string,
  d: number,
  heads: number,
  rate: number,
  segments: 'aToB' | 'bToA',
): TensorId {
  const normed = p.layerNorm(query, `${prefix}.norm_attn`);
  const mixed = attend(p, normed, other, `${prefix}.attn`, d, heads, rate, segments);
  const h = p.add(query, p.dropout(mixed, rate, `${prefix}.drop_attn`), `${prefix}.${segments}.residual1`);
  const ffn = feedForward(p, p.layerNorm(h, `${prefix}.norm_ffn`), `${prefix}.ffn.0`, `${prefix}.ffn.3`, rate);
  return p.add(h, p.dropout(ffn, rate, `${prefix}.drop_ffn`), `${prefix}.${segments}.residual2`);
}

function clsUpdate(
  p: ProgramBuilder,
  cls: TensorId,
  both: TensorId,
  prefix: string,
  d: number,
  heads: number,
  rate: number,
): TensorId {
  const normed = p.layerNorm(cls, `${prefix}.norm_cls_attn`);
  const mixed = attend(p, normed, both, `${prefix}.attn_cls`, d, heads, rate, 'pairToBoth');
  const h = p.add(cls, p.dropout(mixed, rate, `${prefix}.drop_cls_attn`), `${prefix}.cls.residual1`);
  const ffn = feedForward(
    p,
    p.layerNorm(h, `${prefix}.norm_cls_ffn`),
    `${prefix}.ff_cls.0`,
    `${prefix}.ff_cls.3`,
    rate,
  );
  return p.add(h, p.dropout(ffn, rate, `${prefix}.drop_cls_ffn`), `${prefix}.cls.residual2`);
}

function head(p: ProgramBuilder, cls: TensorId, { mlp_head }: V3Config): TensorId {
  let h = cls;
  mlp_head.hidden_dims.forEach((_, k) => {
    const prefix = `output_head.layers.${4 * k}`;
    h = p.linear(h, `${prefix}.weight`, `${prefix}.bias`, prefix);
    const norm = `output_head.layers.${4 * k + 1}`;
    if (mlp_head.norm === 'layernorm') h = p.layerNorm(h, norm);
    else if (mlp_head.norm === 'batchnorm') h = p.batchNorm(h, norm);
    h = p.activation(h, mlp_head.activation, `output_head.layers.${4 * k + 2}`);
    h = p.dropout(h, mlp_head.dropout, `output_head.layers.${4 * k + 3}`);
  });
  const last = `output_head.layers.${4 * mlp_head.hidden_dims.length}`;
  return p.linear(h, `${last}.weight`, `${last}.bias`, 'logits');
}
