/**
 * Every key a config may hold: type, default, rule and meaning (contract 1.2 and this package's additions). The
 * reference in the README is generated from these descriptions, so each is one sentence for a user.
 */
import Type, { type Static } from 'typebox';
import { device } from './device.ts';
import {
  flag,
  integer,
  list,
  number,
  oneOf,
  optional,
  optionalSection,
  optionalText,
  section,
  text,
} from './fields.ts';
import * as names from './names.ts';

const RUN_ID = {
  integers: true,
  blankIsNull: true,
  pattern: '^(?!\\.{1,2}$)[A-Za-z0-9._-]+$',
  patternMeaning: 'letters, digits, ".", "_" and "-"',
};
/** The log calls a monitored metric `val_auprc`; configs may as well. */
const VAL_PREFIXED = Object.fromEntries([...names.METRICS, 'loss' as const].map((name) => [`val_${name}`, name]));
const RATE = { minimum: 0, exclusiveMaximum: 1 };

const run = section({
  mode: oneOf(
    names.MODES,
    'Which stages run: `train_only` pretrains, `full_pipeline` pretrains, finetunes and evaluates, `eval_only` evaluates.',
    { default: 'full_pipeline', kind: 'run mode' },
  ),
  seed: integer('Decides weights, embeddings, data order and dropout.', {
    default: 0,
    minimum: 0,
    maximum: 4294967295,
  }),
  pretrain_run_id: optionalText('Directory name of the pretraining run; null makes one from the clock.', RUN_ID),
  finetune_run_id: optionalText('Directory name of the finetuning run; null makes one from the clock.', RUN_ID),
  eval_run_id: optionalText('Directory name of the evaluation; null makes one from the clock.', RUN_ID),
  load_checkpoint_path: optionalText('The weights that `eval_only` evaluates, which needs it; other modes ignore it.'),
  checkpoint_every: text(
    'How often a training stage saves all it needs to go on into `last/`: as in `500 steps`, `10 minutes`, `1 epoch`.',
    {
      default: '10 minutes',
      pattern: '^[1-9][0-9]{0,8} +(step|epoch|second|minute|hour)s?$',
      patternMeaning: 'a number of steps, epochs, seconds, minutes or hours, such as "500 steps" or "10 minutes"',
    },
  ),
  save_best_only: flag('Keep only the best weights; false adds one checkpoint an epoch.', true),
  compat: oneOf(
    names.COMPAT_NAMES,
    "`relic-5f23433` reproduces that version's behaviour where the default improves on it.",
    { default: 'none' },
  ),
});

const simulate = Type.Object({
  proteins: integer('Proteins to invent.', { default: 120, minimum: 4 }),
  pairs: integer('Labelled pairs to invent, over all splits.', { default: 2400, minimum: 4 }),
  domains: integer('Kinds of domain that decide which proteins interact.', { default: 6, minimum: 2 }),
  seed: integer('Decides the invented proteins and pairs.', { default: 47, minimum: 0, maximum: 4294967295 }),
  disjoint: flag('Give each split proteins of its own.', false),
  min_length: integer('Shortest protein, in residues.', { default: 24, minimum: 1 }),
  max_length: integer('Longest protein, in residues.', { default: 48, minimum: 1 }),
  out_dir: text('Where the files are written.', { derivedDefault: '`benchmark.root_dir`' }),
});

const FOR_READER = { integers: true, blankIsNull: true };

const benchmark = section({
  root_dir: Type.String({ description: 'Folder of the benchmark, which must exist.' }),
  name: optionalText('For the reader; changes nothing.', FOR_READER),
  species: optionalText('For the reader; changes nothing.', FOR_READER),
  split_strategy: optionalText('For the reader; changes nothing.', FOR_READER),
  processed_dir: optionalText('For the reader; changes nothing.', FOR_READER),
  simulate: optional(simulate, 'Makes a demo interactome before the run if its files are missing.'),
});

const embeddings = optionalSection({
  source: oneOf(
    names.EMBEDDING_SOURCES,
    'Where per-residue embeddings come from; any other name, such as `esm3`, means `cache`.',
    { default: 'synthetic', open: true },
  ),
  path: optionalText(
    '`sequence`: the FASTA file; `cache`: the folder with index.json (`cache_dir` if null); `store`: the .safetensors file.',
  ),
  cache_dir: optionalText('Folder of per-protein `.pt` files with index.json.'),
  store_dir: text('Where packed stores are kept, so that the next start is fast.', {
    default: 'data/embeddings/packed',
  }),
  dtype: oneOf(names.EMBEDDING_DTYPES, 'Number format of a packed store.', { default: 'float32' }),
});

const sampling = section({
  strategy: oneOf(names.SAMPLERS, '`ohem` trains on the hardest pairs of each batch only.', {
    default: 'none',
    kind: 'sampling strategy',
  }),
  keep_ratio: number('Share of each batch that `ohem` keeps.', { default: 0.5, exclusiveMinimum: 0, maximum: 1 }),
  min_keep: integer('Fewest pairs of a batch that `ohem` keeps.', { default: 1, minimum: 1 }),
  warmup_epochs: integer('Epochs trained on every pair before `ohem` starts.', { default: 0, minimum: 0 }),
});

const dataloader = section({
  train_dataset: text('Pair file of the training split: protein, protein and label (0 or 1), split by tabs.'),
  valid_dataset: text('Pair file of the validation split.'),
  test_dataset: text('Pair file of the test split.'),
  max_samples_per_split: optional(
    Type.Integer({ minimum: 1 }),
    'Use at most this many pairs of each split; null means all.',
  ),
  subset: oneOf(
    names.SUBSETS,
    'How `max_samples_per_split` picks: the first pairs, or a seeded draw that keeps the share of positives.',
    { default: 'stratified' },
  ),
  num_workers: integer('Accepted, without effect: batches are indices and need no worker.', { default: 0, minimum: 0 }),
  pin_memory: flag('Accepted, without effect.', false),
  drop_last: flag('Drop the last training batch of an epoch when it is smaller than `batch_size`.', false),
  sampling,
});

const data = section({
  benchmark,
  embeddings,
  max_sequence_length: integer(
    'Residues of a protein that are used, from its start; synthetic proteins all have this length.',
    { default: 64, minimum: 1 },
  ),
  dataloader,
});

const model = section(
  {
    model: oneOf(names.MODELS, 'Name of the model.', { kind: 'model' }),
    input_dim: integer('Width of an embedding row.', { minimum: 1 }),
    d_model: integer('Width of the model, a multiple of `n_heads`.', { minimum: 1 }),
    encoder_layers: integer('Self-attention layers, shared by both proteins.', { minimum: 0 }),
    cross_attn_layers: integer('Cross-attention layers between the two proteins.', { minimum: 1 }),
    n_heads: integer('Attention heads.', { minimum: 1 }),
    mlp_head: section({
      hidden_dims: list(Type.Integer({ minimum: 1 }), 'Widths of the hidden layers of the output head.', {
        minItems: 1,
      }),
      dropout: number('Dropout rate of the output head.', RATE),
      activation: oneOf(names.ACTIVATIONS, 'Activation of the output head.', { default: 'gelu' }),
      norm: oneOf(names.NORMS, 'Normalisation of the output head.', { default: 'layernorm' }),
    }),
    regularization: section({
      dropout: number('Dropout rate of the encoder.', RATE),
      cross_attention_dropout: number('Dropout rate of the cross-attention layers.', {
        ...RATE,
        derivedDefault: '`regularization.dropout`',
      }),
      token_dropout: number('Dropout rate of the projected embeddings, by element.', { default: 0, ...RATE }),
      stochastic_depth: number(
        'Rate at which the last encoder layer is skipped for a protein; earlier layers less, in proportion.',
        { default: 0, ...RATE },
      ),
    }),
  },
  { ignored: names.V3_IGNORED_KEYS },
);

const training = section({
  epochs: integer('Passes over the training split, in each training stage.', {
    default: 1,
    minimum: 1,
    reason: 'no epoch would leave weights untrained and a schedule without steps',
  }),
  batch_size: integer('Pairs a step, on each rank.', { default: 8, minimum: 1 }),
  balance_ranks: oneOf(
    names.BALANCES,
    '`tokens` deals the pairs of a step so that all ranks have about as many residues; `pairs` as they come.',
    { default: 'pairs' },
  ),
  early_stopping_patience: integer('Epochs without improvement after which a stage stops.', { default: 5 }),
  monitor_metric: oneOf(
    [...names.METRICS, 'loss'],
    'Validation metric that decides which weights are best; `loss` is minimised, the others maximised.',
    { default: 'auprc', kind: 'metric', aliases: VAL_PREFIXED },
  ),
  logging: optionalSection({
    validation_metrics: list(
      oneOf(names.METRICS, '', { kind: 'metric' }),
      'Metrics computed after each epoch: the columns of training_step.csv, in this order.',
      { default: ['auprc', 'auroc'], minItems: 1 },
    ),
    heartbeat_every_n_steps: integer(
      'Steps between progress lines in the log; 0 logs the first and the last step only.',
      { default: 20, minimum: 0 },
    ),
  }),
  optimizer: section({
    type: oneOf(names.OPTIMIZERS, 'Optimizer; `sgd` takes `lr` and `weight_decay` only.', {
      default: 'adamw',
      kind: 'optimizer type',
    }),
    lr: number('Learning rate; `onecycle` uses `max_lr` in its place.', { default: 1e-4, minimum: 0 }),
    beta1: number('Decay of the first moment; `onecycle` sets it itself.', { default: 0.9, ...RATE }),
    beta2: number('Decay of the second moment.', { default: 0.999, ...RATE }),
    eps: number('Added to the denominator of an update.', { default: 1e-8, minimum: 0 }),
    weight_decay: number('Weight decay: decoupled in `adamw`, added to the gradient in `sgd`.', {
      default: 0,
      minimum: 0,
    }),
  }),
  scheduler: section({
    type: oneOf(names.SCHEDULERS, 'Learning rate schedule, one move a step.', {
      default: 'none',
      aliases: { disabled: 'none' },
      kind: 'scheduler type',
    }),
    max_lr: number('Highest learning rate of `onecycle`.', { minimum: 0, derivedDefault: '`optimizer.lr`' }),
    pct_start: number('Share of the steps in which `onecycle` rises.', {
      default: 0.2,
      exclusiveMinimum: 0,
      exclusiveMaximum: 1,
      reason: 'at 1 no step is left for the fall, whose length is a divisor',
    }),
    div_factor: number('`onecycle` starts at `max_lr / div_factor`.', { default: 25, exclusiveMinimum: 0 }),
    final_div_factor: number('`onecycle` ends at its start divided by this.', { default: 1e4, exclusiveMinimum: 0 }),
    anneal_strategy: oneOf(names.ANNEAL_STRATEGIES, 'Shape of the rise and the fall of `onecycle`.', {
      default: 'cos',
    }),
  }),
  loss: optionalSection({
    type: oneOf(names.LOSSES, 'Loss function.', { default: 'bce_with_logits', kind: 'loss type' }),
    pos_weight: number('Weight of the positive term.', { default: 1, exclusiveMinimum: 0 }),
    label_smoothing: number('Moves labels towards 0.5: y(1 - s) + s/2.', { default: 0, ...RATE }),
  }),
  strategy: optionalSection({
    type: oneOf(names.STRATEGIES, '`staged_unfreeze` trains some parameters first and all of them later.', {
      default: 'none',
      kind: 'strategy type',
    }),
    unfreeze_epoch: integer('Epoch, counted from 0, at whose start all parameters become trainable.', {
      default: 1,
      minimum: 0,
    }),
    initial_trainable_prefixes: list(
      Type.String({ minLength: 1 }),
      'Parameters trained from the start: those whose name begins with one of these.',
      { default: ['output_head'] },
    ),
  }),
});

const evaluate = optionalSection({
  metrics: list(Type.String(), 'Accepted for old configs: evaluate.csv always has all nine metrics.', { default: [] }),
  decision_threshold: Type.Union(
    [Type.Number({ exclusiveMinimum: 0, exclusiveMaximum: 1 }), Type.Enum(['best_f1_on_valid'])],
    {
      description:
        'Probability from which a pair counts as interacting, or `best_f1_on_valid` to choose it on the validation split.',
      default: 0.5,
    },
  ),
  order_averaged: flag('Score each pair as the mean of both orders, f(A,B) and f(B,A).', false),
});

export const ConfigSchema = section({
  run_config: run,
  device_config: device,
  data_config: data,
  model_config: model,
  training_config: training,
  evaluate,
});

type DeepReadonly<T> = T extends readonly (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T;

/** A resolved config: every key present, checked, under its YAML name; frozen at run time. */
export type Config = DeepReadonly<Static<typeof ConfigSchema>>;
export type RunConfig = Config['run_config'];
export type DeviceConfig = Config['device_config'];
export type DataConfig = Config['data_config'];
export type ModelConfig = Config['model_config'];
export type TrainingConfig = Config['training_config'];
export type EvaluateConfig = Config['evaluate'];
export type SimulateConfig = NonNullable<DataConfig['benchmark']['simulate']>;
