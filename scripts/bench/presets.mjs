/** The models and the lengths of the oracle's bench_torch.py. */
import { buildModel } from '../../dist/index.js';

export const INPUT_DIM = 1536;
/** d_model, heads, encoder layers, cross layers, hidden widths. */
const PRESETS = {
  tiny: [32, 4, 1, 1, [16, 8]],
  seed: [384, 12, 2, 2, [256, 128, 64]],
  logged: [512, 8, 3, 3, [512, 256, 128]],
  prod: [640, 8, 5, 5, [512, 256, 128]],
};

/** The model_config mapping of a preset, with every dropout rate `rate`. */
export function presetConfig(preset, rate) {
  const [width, heads, encoder, cross, hidden] = PRESETS[preset];
  return {
    input_dim: INPUT_DIM,
    d_model: width,
    encoder_layers: encoder,
    cross_attn_layers: cross,
    n_heads: heads,
    mlp_head: { hidden_dims: hidden, dropout: rate, activation: 'gelu', norm: 'layernorm' },
    regularization: { dropout: rate, token_dropout: rate, cross_attention_dropout: rate, stochastic_depth: rate },
  };
}

export function presetProgram(preset, rate) {
  return buildModel('v3', presetConfig(preset, rate), { posWeight: 1, labelSmoothing: 0 });
}

/** `fixed:N`, or `pring`: lengths like those of real proteins, log-normal within 50 to 1000, mean about 410. */
export function drawLengths(kind, count, generator) {
  if (kind.startsWith('fixed:')) return new Array(count).fill(Number(kind.slice('fixed:'.length)));
  const draws = new Float32Array(count);
  generator.normal(draws);
  return Array.from(draws, (x) => Math.trunc(Math.min(1000, Math.max(50, Math.exp(x * 0.62 + 5.86)))));
}
