import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseConfig } from '../../src/config/load.ts';
import { configToYaml } from '../../src/config/to-yaml.ts';
import { readYaml11 } from '../../src/config/yaml11.ts';
import { minimal } from './fixtures.ts';

const test = suite('to-yaml');

const rate = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const positive = fc.double({ min: 1e-300, max: 1e300, noNaN: true });
const settings = fc.record({
  'run_config.seed': fc.integer({ min: 0, max: 4294967295 }),
  'run_config.pretrain_run_id': fc.stringMatching(/^[a-z0-9_-]{1,12}$/),
  'run_config.compat': fc.constantFrom('none', 'relic-5f23433'),
  'data_config.benchmark.root_dir': fc.string(),
  'data_config.benchmark.simulate': fc.constantFrom(null, { seed: 3, out_dir: 'x' }),
  'data_config.embeddings.source': fc.constantFrom('synthetic', 'sequence', 'cache', 'esm3'),
  'data_config.embeddings.path': fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => text.trim() !== ''),
  'data_config.dataloader.sampling.keep_ratio': rate.filter((value) => value > 0),
  'model_config.mlp_head.hidden_dims': fc.array(fc.integer({ min: 1, max: 999 }), { minLength: 1 }),
  'model_config.regularization.dropout': rate,
  'training_config.optimizer.lr': positive,
  'training_config.scheduler.type': fc.constantFrom('none', 'onecycle', 'disabled'),
  'training_config.scheduler.div_factor': positive,
  'training_config.logging.validation_metrics': fc
    .shuffledSubarray(['auroc', 'mcc'], { minLength: 0 })
    .map((some) => ['auprc', ...some]),
});

test('a resolved config written and read again has the same hash', () => {
  fc.assert(
    fc.property(settings, (chosen) => {
      const set = Object.entries(chosen).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
      const first = minimal(...set);
      const again = parseConfig(configToYaml(first.config), 'again.yaml');
      assert.is(again.hash, first.hash);
      assert.equal(again.config, first.config);
    }),
    { numRuns: 150 },
  );
});

test('its text means the same to YAML 1.1 and 1.2 readers', () => {
  const text = configToYaml(minimal('training_config.optimizer.eps=1e-8', 'run_config.pretrain_run_id="010"').config);
  assert.equal(readYaml11(text, 'f.yaml').warnings, []);
  assert.match(text, /eps: 1\.0e-8\n/);
  assert.match(text, /pretrain_run_id: "010"\n/);
  assert.match(text, /final_div_factor: 10000\n/);
});

test.run();
