import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readPth } from '../../src/artifacts/checkpoint/pth.ts';
import { buildV3 } from '../../src/model/v3.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { loadState, saveState } from '../../src/stages/checkpoints.ts';
import { initialState } from '../../src/train/initial-state.ts';
import { assertThrowsCode } from '../assert.ts';
import { goldenDir } from '../golden.ts';
import { inProject } from './project.ts';

const test = suite('checkpoints of a model');

const program = (width = 8) =>
  buildV3(
    {
      input_dim: 4,
      d_model: width,
      encoder_layers: 1,
      cross_attn_layers: 1,
      n_heads: 2,
      mlp_head: { hidden_dims: [4], dropout: 0, activation: 'relu', norm: 'batchnorm' },
      regularization: { dropout: 0, token_dropout: 0, cross_attention_dropout: 0, stochastic_depth: 0 },
    },
    { posWeight: 1, labelSmoothing: 0 },
  );

const state = (width?: number) => initialState(program(width), new TorchGenerator(1));

test('what is saved is loaded, in state-dict order, batch counters as whole numbers', () =>
  inProject(() => {
    const saved = state();
    saved.set('output_head.layers.1.num_batches_tracked', Float32Array.of(17));
    saveState('model.pth', program(), saved);
    const { tensors } = readPth('model.pth');
    assert.equal([...tensors.keys()], [...program().stateNames]);
    const counter = tensors.get('output_head.layers.1.num_batches_tracked');
    assert.equal([counter?.dtype, counter?.shape, counter?.data], ['int64', [], BigInt64Array.of(17n)]);
    assert.equal(loadState('model.pth', program()), saved);
  }));

test('what does not fit is named, whoever wrote the file', () => {
  const path = join(goldenDir(), 'pipeline/eval_only/best_model.pth');
  const error = assertThrowsCode(() => loadState(path, program()), 'RELIC_CHECKPOINT_MISMATCH');
  assert.match(error.message, /encoder\.input_projection\.weight: expected shape \[8,4\], received \[32,64\]/);
});

test('a checkpoint of another width, and one with NaN, are refused', () =>
  inProject(() => {
    saveState('other.pth', program(16), state(16));
    assertThrowsCode(() => loadState('other.pth', program()), 'RELIC_CHECKPOINT_MISMATCH');
    const broken = state();
    broken.get('encoder.output_norm.bias')?.fill(Number.NaN);
    saveState('broken.pth', program(), broken);
    assertThrowsCode(
      () => loadState('broken.pth', program()),
      'RELIC_CHECKPOINT_INVALID',
      /encoder\.output_norm\.bias/,
    );
    assertThrowsCode(() => loadState('missing.pth', program()), 'RELIC_CHECKPOINT_NOT_FOUND');
  }));

test.run();
