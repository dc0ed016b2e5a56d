import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as api from '../src/index.ts';

/** The values a user can import. A name that goes is a breaking change. */
const EXPORTS = [
  'ERROR_EXIT',
  'EXIT',
  'METRICS',
  'MODELS',
  'MODE_STAGES',
  'OP_KINDS',
  'PackedStore',
  'RelicError',
  'STAGES',
  'TorchGenerator',
  'buildModel',
  'computeMetrics',
  'configReference',
  'differentiate',
  'evaluate',
  'forInference',
  'initialState',
  'listEngines',
  'loadConfig',
  'loadState',
  'parameterCount',
  'parseConfig',
  'planPipeline',
  'programCost',
  'readCheckpoint',
  'readPth',
  'readSafetensors',
  'runPipeline',
  'saveState',
  'selectEngine',
  'simulateInteractome',
  'train',
  'verifyProgram',
  'writePackedStore',
  'writePth',
  'writeSafetensors',
];

const test = suite('index');

test('exports what it is known for, and nothing else', () => {
  assert.equal(Object.keys(api).sort(), EXPORTS);
});

test('its parts fit together: a config becomes a model with its weights', () => {
  const model = { input_dim: 4, d_model: 4, encoder_layers: 1, cross_attn_layers: 1, n_heads: 2 };
  const head = { hidden_dims: [2], dropout: 0, activation: 'gelu', norm: 'none' } as const;
  const rates = { dropout: 0, token_dropout: 0, cross_attention_dropout: 0, stochastic_depth: 0 };
  const config = { ...model, mlp_head: head, regularization: rates };
  const program = api.buildModel('v3', config, { posWeight: 1, labelSmoothing: 0 });
  const state = api.initialState(program, new api.TorchGenerator(1));
  const count = Array.from(state.values()).reduce((sum, { length }) => sum + length, 0);
  assert.is(count, api.parameterCount(program));
});

test.run();
