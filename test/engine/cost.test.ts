import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { programCost } from '../../src/engine/cost.ts';
import { layoutOfSequences } from '../../src/engine/layout.ts';
import { parameterCount } from '../../src/model/program.ts';
import { buildV3, type V3Config } from '../../src/model/v3.ts';
import { assertClose } from '../assert.ts';

const test = suite('cost');

function v3(overrides: Partial<V3Config>): V3Config {
  return {
    input_dim: 1536,
    d_model: 384,
    encoder_layers: 2,
    cross_attn_layers: 2,
    n_heads: 12,
    mlp_head: { hidden_dims: [256, 128, 64], dropout: 0.1, activation: 'gelu', norm: 'layernorm' },
    regularization: { dropout: 0.1, token_dropout: 0.1, cross_attention_dropout: 0.1, stochastic_depth: 0.1 },
    ...overrides,
  };
}

const LOSS = { posWeight: 1, labelSmoothing: 0 };

test('the parameter counts of the contract', () => {
  assert.is(parameterCount(buildV3(v3({}), LOSS)), 10_197_633);
  const logged = v3({ d_model: 512, encoder_layers: 3, cross_attn_layers: 3, n_heads: 8 });
  const head = { ...logged.mlp_head, hidden_dims: [512, 256, 128] };
  assert.is(parameterCount(buildV3({ ...logged, mlp_head: head }, LOSS)), 26_439_937);
});

test('a step of the shipped default costs what the formula of its sizes says', () => {
  const [pairs, length] = [16, 32];
  const indices = Int32Array.from({ length: pairs }, () => 0);
  const layout = layoutOfSequences([indices, indices], Int32Array.of(length));
  const program = buildV3(v3({}), LOSS);
  const { forwardFlops, backwardFlops, parameters, bytes } = programCost(program, layout);
  const [T, d, S] = [2 * pairs * length, 384, 2 * pairs * length * length];
  // Multiply-adds a token: projection, encoder and cross layers (12 d^2 and 14 d^2); attention: self, cross, CLS aside.
  const products = 2 * T * (1536 * d + 2 * 12 * d * d + 2 * 14 * d * d);
  const attention = 4 * d * 2 * (S + S);
  assertClose(forwardFlops, products + attention, { rel: 0.03 });
  const noProjectionGradient = 2 * T * 1536 * d;
  assertClose(backwardFlops, 2 * products - noProjectionGradient + 2.5 * attention, { rel: 0.03 });
  assert.is(parameters, 10_197_633);
  assert.ok(bytes > parameters * 28);
});

test.run();
