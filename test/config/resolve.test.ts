import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { kindWords, Resolver } from '../../src/config/resolve.ts';
import { ConfigSchema } from '../../src/config/schema.ts';
import { asNode } from '../../src/config/schema-node.ts';
import { readYaml11 } from '../../src/config/yaml11.ts';
import { minimal, problemsOf } from './fixtures.ts';

const test = suite('resolve');

/** Each rule of a single key: a value that breaks it, and what the message must say. */
const BROKEN: readonly [string, RegExp][] = [
  [
    'run_config.mode=pretrain_only',
    /^Unsupported run mode: pretrain_only: expected one of train_only, full_pipeline, eval_only/,
  ],
  ['run_config.mode=finetune_from_pretrain', /^Unsupported run mode: finetune_from_pretrain/],
  ['run_config.mode=3', /^must be a non-empty string: .*received 3 \(number\)/],
  ['run_config.seed=one', /^must be int-compatible: expected an integer .*received "one" \(string\)/],
  ['run_config.seed="3.0"', /^must be int-compatible/],
  ['run_config.seed=.inf', /^must be int-compatible: .*received \.inf/],
  ['run_config.seed=null', /^must be int-compatible: .*received null/],
  ['run_config.seed=[1]', /^must be int-compatible: .*received a list of 1/],
  ['run_config.seed=-1', /^expected an integer at least 0 .*received -1/],
  ['run_config.seed=4294967296', /at most 4294967295/],
  ['run_config.pretrain_run_id=“20260325”', /^expected letters, digits, "\.", "_" and "-", received/],
  ['run_config.finetune_run_id=..', /^expected letters/],
  ['run_config.eval_run_id=a/b', /^expected letters/],
  ['run_config.eval_run_id=2026-02-12', /^must be a string: .*date; quote it/],
  ['run_config.eval_run_id=true', /^must be a string/],
  ['run_config.eval_run_id=1.5', /^must be a string/],
  ['run_config.load_checkpoint_path=" "', /^must be a non-empty string/],
  ['run_config.load_checkpoint_path=7', /^must be a string/],
  ['run_config.save_best_only=maybe', /^must be bool-compatible: expected true or false, received "maybe"/],
  ['run_config.save_best_only=1.0', /^must be bool-compatible/],
  ['run_config.compat=relic-5f23432', /Unsupported compat: relic-5f23432: .*did you mean relic-5f23433\?/],
  ['device_config.device=gpu', /Unsupported device: gpu: expected one of cpu, cuda/],
  ['device_config.engine=nativ', /did you mean native\?/],
  ['device_config.threads=0', /^expected an integer at least 1/],
  ['device_config.threads=5000', /^expected an integer at least 1 and at most 1024/],
  ['data_config.benchmark.root_dir=3', /^must be a string/],
  ['data_config.benchmark.simulate=3', /must be a mapping: received 3/],
  ['data_config.benchmark.simulate.proteins=1', /at least 4/],
  ['data_config.embeddings.dtype=float64', /Unsupported dtype: float64: .*did you mean float32\?/],
  ['data_config.max_sequence_length=0', /^expected an integer at least 1/],
  ['data_config.dataloader.train_dataset=""', /^must be a non-empty string/],
  ['data_config.dataloader.max_samples_per_split=0', /^expected an integer at least 1/],
  ['data_config.dataloader.subset=last', /Unsupported subset: last/],
  ['data_config.dataloader.num_workers=-1', /at least 0/],
  ['data_config.dataloader.sampling.strategy=ohm', /Unsupported sampling strategy: ohm: .*did you mean ohem\?/],
  ['data_config.dataloader.sampling.keep_ratio=0', /above 0 and at most 1/],
  ['data_config.dataloader.sampling.keep_ratio=1.1', /above 0 and at most 1/],
  ['data_config.dataloader.sampling.min_keep=0', /at least 1/],
  ['data_config.dataloader.sampling.warmup_epochs=-1', /at least 0/],
  ['model_config.model=""', /^must be a non-empty string/],
  ['model_config.model=v4', /^Unknown model: v4: expected one of v3; did you mean v3\?/],
  ['model_config.input_dim=0', /at least 1/],
  ['model_config.encoder_layers=-1', /at least 0/],
  ['model_config.cross_attn_layers=0', /at least 1/],
  ['model_config.mlp_head.hidden_dims=[]', /^must not be empty/],
  ['model_config.mlp_head.hidden_dims=8', /^must be a list of integers: received 8/],
  ['model_config.mlp_head.hidden_dims=[8, 0]', /at least 1/],
  ['model_config.mlp_head.dropout=1', /at least 0 and below 1/],
  [
    'model_config.mlp_head.activation=gelo',
    /Unsupported activation: gelo: expected one of gelu, relu, silu, tanh; did you mean gelu\?/,
  ],
  ['model_config.mlp_head.norm=groupnorm', /Unsupported norm: groupnorm/],
  ['model_config.regularization.dropout=-0.1', /at least 0/],
  ['model_config.regularization.stochastic_depth=nan', /^must be float-compatible: expected a finite number/],
  ['training_config.epochs=0', /^expected an integer at least 1, received 0 .*schedule without steps/],
  ['training_config.batch_size=0', /at least 1/],
  ['training_config.early_stopping_patience=~', /int-compatible/],
  ['training_config.monitor_metric=auc', /^Unknown metric: auc/],
  ['training_config.logging=', /Config section 'training_config.logging' must be a mapping: received null/],
  ['training_config.logging.validation_metrics=auroc', /^must be a sequence of strings/],
  ['training_config.logging.validation_metrics=[]', /^must not be empty/],
  ['training_config.logging.validation_metrics=[auroc, aprc]', /Unknown metric: aprc: .*did you mean auprc\?/],
  ['training_config.logging.heartbeat_every_n_steps=-1', /at least 0/],
  [
    'training_config.optimizer.type=adam',
    /Unsupported optimizer type: adam: expected one of adamw, sgd; did you mean adamw\?/,
  ],
  ['training_config.optimizer.lr=fast', /^must be float-compatible: .*received "fast"/],
  ['training_config.optimizer.lr=-1', /at least 0/],
  ['training_config.optimizer.beta1=1', /below 1/],
  ['training_config.optimizer.eps=.inf', /^must be float-compatible/],
  ['training_config.scheduler.type=cosine', /Unsupported scheduler type: cosine/],
  [
    'training_config.scheduler.pct_start=1.0',
    /above 0 and below 1, received 1\.0 .*the fall, whose length is a divisor/,
  ],
  ['training_config.scheduler.pct_start=0', /above 0 and below 1/],
  ['training_config.scheduler.div_factor=0', /above 0/],
  ['training_config.scheduler.final_div_factor=0', /above 0/],
  ['training_config.scheduler.anneal_strategy=cosin', /Unsupported anneal_strategy: cosin/],
  ['training_config.loss.type=focal', /Unsupported loss type: focal/],
  ['training_config.loss.pos_weight=0', /above 0/],
  ['training_config.loss.label_smoothing=1', /below 1/],
  ['training_config.strategy.type=unfreeze', /Unsupported strategy type: unfreeze/],
  ['training_config.strategy.unfreeze_epoch=-1', /at least 0/],
  ['training_config.strategy.initial_trainable_prefixes=output_head', /^must be a sequence of strings/],
  ['evaluate.metrics=auroc', /^must be a sequence of strings/],
  ['evaluate.decision_threshold=0', /above 0 and below 1/],
  ['evaluate.decision_threshold=best_f1', /Unsupported decision_threshold: best_f1/],
  ['evaluate.decision_threshold=null', /^must be float-compatible/],
  ['evaluate.order_averaged=2.0', /^must be bool-compatible/],
];

for (const [setting, pattern] of BROKEN) {
  test(`refuses ${setting}`, () => {
    const problems = problemsOf(setting);
    assert.is(problems.length, 1, JSON.stringify(problems));
    assert.match(problems[0].message, pattern);
    assert.ok(problems[0].where.startsWith(`--set ${setting.slice(0, setting.indexOf('='))}`), problems[0].where);
  });
}

/** Values that Python's conversions accept, and what they become. */
const ACCEPTED: readonly [string, unknown][] = [
  ['run_config.mode=Train_Only', 'train_only'],
  ['run_config.seed=" 7 "', 7],
  ['run_config.seed=2.9', 2],
  ['run_config.pretrain_run_id=20260212_135926', '20260212135926'],
  ['run_config.pretrain_run_id=99999999999999999999', '99999999999999999999'],
  ['run_config.pretrain_run_id=" a.b-c_1 "', 'a.b-c_1'],
  ['run_config.pretrain_run_id="  "', null],
  ['run_config.save_best_only="OFF"', false],
  ['data_config.benchmark.root_dir=""', ''],
  ['data_config.benchmark.species=9606', '9606'],
  ['training_config.optimizer.lr=1e-4', 1e-4],
  ['training_config.scheduler.type=disabled', 'none'],
  ['training_config.monitor_metric=val_AUROC', 'auroc'],
  ['training_config.monitor_metric=loss', 'loss'],
  ['evaluate.decision_threshold=best_f1_on_valid', 'best_f1_on_valid'],
  ['evaluate.decision_threshold="0.25"', 0.25],
];

for (const [setting, expected] of ACCEPTED) {
  test(`accepts ${setting}`, () => {
    const path = setting.slice(0, setting.indexOf('=')).split('.');
    const { config } = minimal(setting);
    const value = path.reduce<unknown>((inner, key) => (inner as Record<string, unknown>)[key], config);
    assert.equal(value, expected);
  });
}

test('missing keys are told together, by mapping, and missing sections by name', () => {
  const resolver = new Resolver(asNode(ConfigSchema));
  const text = 'model_config:\n  model: v3\n  mlp_head: {}\ntraining_config: {}\n';
  resolver.resolve(asNode(ConfigSchema), readYaml11(text, 'f.yaml').root, '');
  const told = resolver.problems.map(({ where, message }) => `${where}: ${message}`);
  assert.equal(told, [
    "f.yaml:1:1 run_config: Config section 'run_config' must be a mapping: received nothing",
    "f.yaml:1:1 device_config: Config section 'device_config' must be a mapping: received nothing",
    "f.yaml:1:1 data_config: Config section 'data_config' must be a mapping: received nothing",
    'f.yaml:3:13 model_config.mlp_head: missing required keys: hidden_dims, dropout',
    "f.yaml:2:3 model_config.regularization: Config section 'model_config.regularization' must be a mapping: received nothing",
    'f.yaml:2:3 model_config: missing required keys: input_dim, d_model, encoder_layers, cross_attn_layers, n_heads',
    "f.yaml:4:18 training_config.optimizer: Config section 'training_config.optimizer' must be a mapping: received nothing",
    "f.yaml:4:18 training_config.scheduler: Config section 'training_config.scheduler' must be a mapping: received nothing",
  ]);
});

test('unknown keys warn with the nearest name, or with the place the name belongs', () => {
  const resolver = new Resolver(asNode(ConfigSchema));
  const text = 'run_config:\n  sed: 3\n  batch_size: 4\n  colour: red\nmodel_config: {geometry: 1, spectral_nrm: 2}\n';
  resolver.resolve(asNode(ConfigSchema), readYaml11(text, 'f.yaml').root, '');
  assert.equal(resolver.warnings, [
    { where: 'f.yaml:2:3 run_config.sed', message: 'unknown key, ignored; did you mean seed?' },
    {
      where: 'f.yaml:3:3 run_config.batch_size',
      message: 'unknown key, ignored; did you mean training_config.batch_size?',
    },
    { where: 'f.yaml:4:3 run_config.colour', message: 'unknown key, ignored' },
    { where: 'f.yaml:5:29 model_config.spectral_nrm', message: 'unknown key, ignored' },
  ]);
});

test('kinds in words', () => {
  const { run_config, model_config } = asNode(ConfigSchema).properties!;
  assert.is(kindWords(run_config), 'a mapping');
  assert.is(kindWords(run_config.properties!.save_best_only), 'true or false');
  assert.is(kindWords(model_config.properties!.mlp_head.properties!.hidden_dims), 'a list, each an integer at least 1');
});

test.run();
