import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { canonicalJson, loadConfig, parseConfig } from '../../src/config/load.ts';
import { assertThrowsCode } from '../assert.ts';
import { goldenDir } from '../golden.ts';
import { CONFIGS, FIXTURES, fixture, messages, minimal } from './fixtures.ts';

const test = suite('load');
const COMPAT = 'run_config.compat=relic-5f23433';

const runs = join(goldenDir(), 'pipeline');
const goldenRuns = readdirSync(runs).filter((name) => readdirSync(join(runs, name)).includes('config.yaml'));

test('there are golden runs', () => {
  assert.ok(goldenRuns.length >= 5, goldenRuns.join());
});

for (const name of goldenRuns) {
  test(`the golden run ${name} loads by default and with compat`, () => {
    const path = join(runs, name, 'config.yaml');
    const byDefault = loadConfig(path);
    assert.is(byDefault.config.data_config.embeddings.source, 'cache');
    assert.is(byDefault.config.data_config.embeddings.path, 'data/embeddings/esm3');
    assert.not(byDefault.compat.perSplitEmbeddingSeeds);
    const original = loadConfig(path, { set: [COMPAT] });
    assert.is(original.config.data_config.embeddings.source, 'synthetic');
    assert.is(original.config.run_config.pretrain_run_id, 'golden_pretrain');
    assert.is(original.config.training_config.optimizer.eps, byDefault.config.training_config.optimizer.eps);
    assert.ok(original.compat.perSplitEmbeddingSeeds);
    assert.not(original.hash === byDefault.hash);
    assert.not.ok(messages(original.warnings).some((message) => /unknown key|YAML 1\.1/.test(message)));
  });
}

/** Parameters of V3 (its layers are those of contract 1.6). */
function parameters({ model_config: model }: ReturnType<typeof loadConfig>['config']): number {
  const d = model.d_model;
  const widths = [d, ...model.mlp_head.hidden_dims];
  const head = widths.slice(1).reduce((sum, width, i) => sum + widths[i] * width + 3 * width, 0) + widths.at(-1)! + 1;
  const encoder = model.input_dim * d + d + model.encoder_layers * (12 * d * d + 13 * d) + 2 * d;
  return encoder + d + model.cross_attn_layers * (20 * d * d + 24 * d) + head;
}

const SHIPPED: Readonly<Record<string, number>> = {
  'v3.yaml': 10_197_633,
  'v3_hpc.yaml': 234_721,
  'v3_local_cpu.yaml': 83_953,
};

for (const name of readdirSync(CONFIGS).filter((each) => each.endsWith('.yaml'))) {
  test(`configs/${name} loads without unknown keys or readings that differ, and opens with its launch line`, () => {
    const { config, warnings, source } = loadConfig(join(CONFIGS, name));
    assert.not.ok(
      messages(warnings).some((message) => /unknown key|YAML 1\.1/.test(message)),
      messages(warnings).join('\n'),
    );
    const head = source.text.slice(0, source.text.search(/^[^#]/m));
    assert.match(head, `configs/${name}`);
    if (SHIPPED[name] === undefined) return;
    assert.is(parameters(config), SHIPPED[name]);
    assert.match(head, SHIPPED[name].toLocaleString('en'));
    assert.equal(warnings, []);
    const { epochs, batch_size } = config.training_config;
    const pairs = config.data_config.dataloader.max_samples_per_split!;
    const [, ofSplit, steps, epochsSaid, all] =
      /at most (\d+) pairs a\s+(?:# )?split = (\d+) steps an epoch, (\d+) epochs a\s+(?:# )?stage,.*= (\d+) steps/s.exec(
        head,
      )!;
    assert.equal([ofSplit, steps, epochsSaid, all].map(Number), [
      pairs,
      pairs / batch_size,
      epochs,
      (2 * epochs * pairs) / batch_size,
    ]);
    assert.match(head, `batch_size ${batch_size} `);
  });
}

test('the shipped default keeps the values of the original', () => {
  const { run_config, device_config, data_config, training_config } = loadConfig(join(CONFIGS, 'v3.yaml')).config;
  assert.equal(
    [run_config.seed, device_config.device, device_config.ddp_enabled, device_config.use_mixed_precision],
    [47, 'cuda', true, true],
  );
  assert.equal([data_config.max_sequence_length, data_config.dataloader.max_samples_per_split], [32, 128]);
  const { optimizer, scheduler, loss, strategy } = training_config;
  assert.equal(
    [optimizer.lr, scheduler.max_lr, optimizer.weight_decay, loss.label_smoothing],
    [5e-5, 5e-5, 0.015, 0.02],
  );
  assert.equal(
    [training_config.epochs, training_config.batch_size, training_config.early_stopping_patience],
    [3, 16, 2],
  );
  const { strategy: sampler, keep_ratio, min_keep } = data_config.dataloader.sampling;
  assert.equal(
    [sampler, keep_ratio, min_keep, strategy.type, strategy.unfreeze_epoch],
    ['ohem', 0.5, 8, 'staged_unfreeze', 1],
  );
});

test('a config written for PyYAML is read as PyYAML read it, with a warning at each difference', () => {
  const { config, warnings } = loadConfig(join(FIXTURES, 'written_for_pyyaml.yaml'), { set: [COMPAT] });
  const {
    run_config: run,
    device_config: device,
    data_config: data,
    model_config: model,
    training_config: training,
  } = config;
  assert.equal(
    [run.mode, run.seed, run.pretrain_run_id, run.save_best_only],
    ['train_only', 8, '20260212135926', true],
  );
  assert.is(device.ddp_enabled, false);
  assert.equal([data.max_sequence_length, data.dataloader.max_samples_per_split], [1000, 210]);
  assert.equal([model.model, model.input_dim, model.mlp_head.dropout], ['v3', 16, 0.5]);
  assert.not.ok('geometry' in model);
  assert.equal(
    [training.epochs, training.optimizer.type, training.optimizer.lr, training.optimizer.eps],
    [2, 'adamw', 1e-4, 1e-8],
  );
  assert.is(training.scheduler.type, 'none');
  const lines = warnings.map(({ where, message }) => `${/:(\d+):\d+/.exec(where)![1]} ${message.split(' ')[0]}`);
  assert.equal(lines, [
    '4 010',
    '5 20260212_135926',
    '6 yes',
    '9 off',
    '17 1_000',
    '22 3:30',
    '41 repeated',
    '44 1e-4',
    '45 1e-8',
  ]);
});

test('all faults are told at once, each with its place', () => {
  const path = join(FIXTURES, 'many_faults.yaml');
  const error = assertThrowsCode(() => loadConfig(path), 'RELIC_CONFIG_INVALID', /has 22 faults/);
  const told = error.problems.map(({ where, message }) => `${where.replace(path, 'f')}: ${message}`);
  const expected = [
    /^f:2:9 run_config\.mode: Unsupported run mode: pretrain_only/,
    /^f:3:9 run_config\.seed: must be int-compatible: expected an integer at least 0 and at most 4294967295, received "one" \(string\)$/,
    /^f:4:20 run_config\.pretrain_run_id: expected letters/,
    /^f:6:11 device_config\.device: Unsupported device: gpu/,
    /^f:8:14 data_config\.benchmark: missing required keys: root_dir$/,
    /^f:9:24 data_config\.max_sequence_length: expected an integer at least 1, received 0 \(number\)$/,
    /^f:11:20 data_config\.dataloader\.train_dataset: must be a non-empty string/,
    /^f:12:19 data_config\.dataloader\.test_dataset: must be a string: .*2026-02-12 \(date/,
    /^f:13:16 data_config\.dataloader\.drop_last: must be bool-compatible/,
    /^f:11:5 data_config\.dataloader\.sampling: Config section 'data_config\.dataloader\.sampling' must be a mapping/,
    /^f:11:5 data_config\.dataloader: missing required keys: valid_dataset$/,
    /^f:15:10 model_config\.model: Unknown model: v4/,
    /^f:19:18 model_config\.mlp_head\.hidden_dims: must not be empty$/,
    /^f:20:14 model_config\.mlp_head\.dropout: expected a finite number at least 0 and below 1, received 1\.0/,
    /^f:21:17 model_config\.mlp_head\.activation: Unsupported activation: gelo.*gelu\?$/,
    /^f:22:19 model_config\.regularization: Config section .* must be a mapping: received "none"/,
    /^f:15:3 model_config: missing required keys: input_dim, encoder_layers, cross_attn_layers$/,
    /^f:24:11 training_config\.epochs: must be int-compatible/,
    /^f:26:11 training_config\.optimizer\.type: Unsupported optimizer type: adam/,
    /^f:27:9 training_config\.optimizer\.lr: must be float-compatible/,
    /^f:24:3 training_config\.scheduler: Config section .* must be a mapping/,
    /^f:16:12 model_config\.d_model: expected a multiple of n_heads \(4\), received 30/,
  ];
  for (const pattern of expected)
    assert.ok(
      told.some((line) => pattern.test(line)),
      `${pattern}\n${told.join('\n')}`,
    );
});

test('unknown keys are warnings with the nearest name', () => {
  const text = fixture('minimal.yaml').replace('optimizer: {}', 'optimizer: {wieght_decay: 1}');
  const { warnings } = parseConfig(text, 'f.yaml');
  assert.equal(
    warnings.map(({ where }) => where),
    ['f.yaml:25:15 training_config.optimizer.wieght_decay'],
  );
  assert.match(warnings[0].message, /did you mean weight_decay\?/);
});

test('a file that is not there, or not a file', () => {
  assertThrowsCode(
    () => loadConfig('nowhere/x.yaml'),
    'RELIC_CONFIG_NOT_FOUND',
    /nowhere\/x\.yaml: Cannot read.*ENOENT/,
  );
  assertThrowsCode(() => loadConfig(FIXTURES), 'RELIC_CONFIG_NOT_FOUND', /EISDIR/);
});

test('a config that the package brings is found from any working directory, unless one of its name is there', () => {
  const before = process.cwd();
  const elsewhere = mkdtempSync(join(tmpdir(), 'relic-'));
  try {
    process.chdir(elsewhere);
    assert.is(loadConfig('configs/demo.yaml').source.path, join(CONFIGS, 'demo.yaml'));
    assertThrowsCode(
      () => loadConfig('configs/nowhere.yaml'),
      'RELIC_CONFIG_NOT_FOUND',
      /configs\/nowhere\.yaml: .*ENOENT/,
    );
    assertThrowsCode(() => loadConfig('configs/../package.json'), 'RELIC_CONFIG_NOT_FOUND');
    mkdirSync('configs');
    writeFileSync('configs/demo.yaml', fixture('minimal.yaml'));
    assert.is(loadConfig('configs/demo.yaml').source.path, 'configs/demo.yaml');
  } finally {
    process.chdir(before);
    rmSync(elsewhere, { recursive: true });
  }
});

test('the root must be a mapping', () => {
  for (const text of ['', '- a\n', 'text\n'])
    assertThrowsCode(
      () => parseConfig(text, 'f.yaml'),
      'RELIC_CONFIG_INVALID',
      /f\.yaml:1:1: Config root must be a mapping/,
    );
});

test('text that is not YAML', () => {
  assertThrowsCode(() => parseConfig('a: [1\nb: 2\n', 'f.yaml'), 'RELIC_CONFIG_SYNTAX', /f\.yaml:\d+:\d+: /);
});

test('a config is frozen to its leaves, and so is the rest', () => {
  const loaded = minimal('data_config.benchmark.simulate={}');
  const walk = (value: unknown): void => {
    if (value === null || typeof value !== 'object') return;
    assert.ok(Object.isFrozen(value));
    Object.values(value).forEach(walk);
  };
  walk(loaded);
  assert.throws(() => {
    (loaded.config.run_config as { seed: number }).seed = 3;
  }, TypeError);
});

test('defaults are not shared between configs', () => {
  const [one, other] = [minimal().config, minimal().config];
  assert.is.not(one.evaluate.metrics, other.evaluate.metrics);
});

test('the hash is of the settings, not of their spelling', () => {
  assert.is(minimal('training_config.optimizer.lr=1e-4').hash, minimal().hash);
  assert.not(minimal('training_config.optimizer.lr=2e-4').hash === minimal().hash);
  const { config, hash } = minimal();
  assert.is(hash, createHash('sha256').update(canonicalJson(config)).digest('hex'));
});

test('canonical JSON sorts keys at every depth and keeps lists', () => {
  assert.is(
    canonicalJson({ b: { d: 1, c: [2, { z: 1, a: null }] }, a: 'x' }),
    '{"a":"x","b":{"c":[2,{"a":null,"z":1}],"d":1}}',
  );
});

test('the source is kept', () => {
  const { source } = minimal();
  assert.equal(source, { path: 'minimal.yaml', text: fixture('minimal.yaml') });
});

test.run();
