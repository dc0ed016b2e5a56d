/** The models of the oracle's bench_torch.py, as configs. */
export const INPUT_DIM = 1536;
/** d_model, heads, encoder layers, cross layers, hidden widths, and the width of embeddings where it is another. */
export const PRESETS = {
  tiny: [32, 4, 1, 1, [16, 8]],
  seed: [384, 12, 2, 2, [256, 128, 64]],
  logged: [512, 8, 3, 3, [512, 256, 128]],
  prod: [640, 8, 5, 5, [512, 256, 128]],
  // For what runs at a thousandth of the speed; their rows are narrower.
  nano: [32, 2, 1, 1, [16], 24],
  micro: [24, 2, 2, 1, [8], 16],
};

/** The model_config mapping of a preset, with every dropout rate `rate`. */
export function presetConfig(preset, rate) {
  const [width, heads, encoder, cross, hidden, inputDim = INPUT_DIM] = PRESETS[preset];
  return {
    input_dim: inputDim,
    d_model: width,
    encoder_layers: encoder,
    cross_attn_layers: cross,
    n_heads: heads,
    mlp_head: { hidden_dims: hidden, dropout: rate, activation: 'gelu', norm: 'layernorm' },
    regularization: { dropout: rate, token_dropout: rate, cross_attention_dropout: rate, stochastic_depth: rate },
  };
}
