import type { TSchema } from 'typebox';
import Value from 'typebox/value';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Config, ConfigSchema } from '../../src/config/schema.ts';
import { asNode, fieldsOf, keyPaths, type SchemaNode } from '../../src/config/schema-node.ts';
import { minimal, problemsOf } from './fixtures.ts';

const test = suite('schema');

test('a resolved config satisfies the schema by typebox as well', () => {
  const { config } = minimal('data_config.benchmark.simulate={}', 'evaluate.decision_threshold=best_f1_on_valid');
  assert.equal([...Value.Errors(ConfigSchema, config)], []);
  assert.not(Value.Check(ConfigSchema, { ...config, evaluate: { ...config.evaluate, metrics: 3 } }));
});

test('every default keeps its own rule', () => {
  const walk = (schema: SchemaNode, path: string): void => {
    for (const [key, field] of Object.entries(fieldsOf(schema) ?? {})) {
      if (field.default !== undefined && field['~kind'] !== 'Object')
        assert.ok(Value.Check(field as TSchema, field.default), `${path}${key}`);
      walk(field, `${path}${key}.`);
    }
  };
  walk(asNode(ConfigSchema), '');
});

test('the defaults are those of the contract', () => {
  const { run_config: run, data_config: data, training_config: training, evaluate }: Config = minimal().config;
  assert.equal(run, {
    mode: 'full_pipeline',
    seed: 0,
    pretrain_run_id: null,
    finetune_run_id: null,
    eval_run_id: null,
    load_checkpoint_path: null,
    checkpoint_every: '10 minutes',
    save_best_only: true,
    compat: 'none',
  });
  assert.is(data.max_sequence_length, 64);
  assert.equal(data.dataloader.sampling, { strategy: 'none', keep_ratio: 0.5, min_keep: 1, warmup_epochs: 0 });
  assert.equal(training, {
    epochs: 1,
    batch_size: 8,
    balance_ranks: 'pairs',
    early_stopping_patience: 5,
    monitor_metric: 'auprc',
    logging: { validation_metrics: ['auprc', 'auroc'], heartbeat_every_n_steps: 20 },
    optimizer: { type: 'adamw', lr: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0 },
    scheduler: {
      type: 'none',
      max_lr: 1e-4,
      pct_start: 0.2,
      div_factor: 25,
      final_div_factor: 1e4,
      anneal_strategy: 'cos',
    },
    loss: { type: 'bce_with_logits', pos_weight: 1, label_smoothing: 0 },
    strategy: { type: 'none', unfreeze_epoch: 1, initial_trainable_prefixes: ['output_head'] },
  });
  assert.equal(evaluate, { metrics: [], decision_threshold: 0.5, order_averaged: false });
});

test('paths name mappings and keys, through a mapping that may be null', () => {
  const paths = keyPaths(asNode(ConfigSchema));
  for (const path of [
    'run_config',
    'run_config.seed',
    'data_config.benchmark.simulate',
    'data_config.benchmark.simulate.seed',
  ])
    assert.ok(paths.includes(path), path);
  assert.is(new Set(paths).size, paths.length);
});

test('checkpoint_every takes a count and a unit, and says so when it gets something else', () => {
  const every = (text: string) => minimal(`run_config.checkpoint_every=${text}`).config.run_config.checkpoint_every;
  assert.equal(['500 steps', '1 step', '  2  hours '].map(every), ['500 steps', '1 step', '2  hours']);
  for (const text of ['500', '0 steps', '1.5 hours', '5 days', 'never', 'null', '[1]']) {
    const [{ message }, ...more] = problemsOf(`run_config.checkpoint_every=${text}`);
    assert.match(message, /a number of steps, epochs, seconds, minutes or hours, such as "500 steps"/);
    assert.equal(more, []);
  }
});

test.run();
