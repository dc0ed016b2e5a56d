/**
 * The closed lists of names a config may use. `config` imports no sibling, so they stand here as literals; tests
 * compare them with the registries of models, metrics, stages, strategies, samplers and embedding sources.
 */
export const MODES = ['train_only', 'full_pipeline', 'eval_only'] as const;
export const COMPAT_NAMES = ['none', 'relic-5f23433'] as const;
export const DEVICES = ['cpu', 'cuda'] as const;
export const CPU_PRECISIONS = ['fp32', 'bf16'] as const;
export const ENGINES = ['auto', 'typescript', 'native', 'cuda'] as const;
export const AMP_DTYPES = ['bf16', 'fp16'] as const;
export const EMBEDDING_SOURCES = ['synthetic', 'sequence', 'cache', 'store'] as const;
export const EMBEDDING_DTYPES = ['float32', 'float16', 'bfloat16'] as const;
export const SUBSETS = ['first', 'stratified'] as const;
export const BALANCES = ['pairs', 'tokens'] as const;
export const SAMPLERS = ['none', 'ohem'] as const;
export const MODELS = ['v3'] as const;
export const ACTIVATIONS = ['gelu', 'relu', 'silu', 'tanh'] as const;
export const NORMS = ['layernorm', 'batchnorm', 'none'] as const;
/** In the order of evaluate.csv (contract 1.4). */
export const METRICS = [
  'auroc',
  'auprc',
  'accuracy',
  'sensitivity',
  'specificity',
  'precision',
  'recall',
  'f1',
  'mcc',
] as const;
export const OPTIMIZERS = ['adamw', 'sgd'] as const;
export const SCHEDULERS = ['none', 'onecycle'] as const;
export const ANNEAL_STRATEGIES = ['cos', 'linear'] as const;
export const LOSSES = ['bce_with_logits'] as const;
export const STRATEGIES = ['none', 'staged_unfreeze'] as const;
/** Keys of `model_config` that old configs carry and V3 has always ignored (contract 1.2). */
export const V3_IGNORED_KEYS: readonly string[] = [
  'geometry',
  'inference',
  'spectral_norm',
  'use_mc_dropout_eval',
  'mc_dropout_samples',
];

export type MetricName = (typeof METRICS)[number];
