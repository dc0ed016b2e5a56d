/** A small V3 for tests, all rates 0 unless overridden. */
import type { V3Config } from '../../src/model/v3.ts';

export const NO_LOSS_OPTIONS = { posWeight: 1, labelSmoothing: 0 };

export function smallV3(
  overrides: Partial<Omit<V3Config, 'mlp_head' | 'regularization'>> & {
    mlp_head?: Partial<V3Config['mlp_head']>;
    regularization?: Partial<V3Config['regularization']>;
  } = {},
): V3Config {
  return {
    input_dim: 8,
    d_model: 8,
    encoder_layers: 1,
    cross_attn_layers: 1,
    n_heads: 2,
    ...overrides,
    mlp_head: { hidden_dims: [6, 4], dropout: 0, activation: 'gelu', norm: 'layernorm', ...overrides.mlp_head },
    regularization: {
      dropout: 0,
      token_dropout: 0,
      cross_attention_dropout: 0,
      stochastic_depth: 0,
      ...overrides.regularization,
    },
  };
}

/** Every rate set, so that every random op is in the program. */
export function droppingV3(rate = 0.2): V3Config {
  const regularization = { dropout: rate, token_dropout: rate, cross_attention_dropout: rate, stochastic_depth: rate };
  return smallV3({ encoder_layers: 2, cross_attn_layers: 2, mlp_head: { dropout: rate }, regularization });
}
