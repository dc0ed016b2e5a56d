/**
 * What one key means for another: defaults that another key gives, and combinations that cannot run. Each rule takes
 * a draft in which any key may be undefined, because its own check has failed and been told.
 */
import { nearest } from '../errors.ts';
import type { Compat } from './compat.ts';
import { EMBEDDING_SOURCES, METRICS } from './names.ts';
import type { Config } from './schema.ts';

export type Draft<T = Config> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { -readonly [Key in keyof T]?: Draft<T[Key]> | undefined }
    : T;

/** What a rule may ask and tell; paths are dotted keys. */
export interface Findings {
  /** Whether the user wrote the key. */
  given(path: string): boolean;
  problem(path: string, message: string): void;
  warn(path: string, message: string): void;
}

type Rule = (draft: Draft, found: Findings, compat: Compat) => void;

/** Completes `draft` and records what cannot run. */
export function applyRules(draft: Draft, found: Findings, compat: Compat): void {
  for (const rule of RULES) rule(draft, found, compat);
}

const checkpointForEvaluation: Rule = ({ run_config: run }, found) => {
  if (run?.mode === 'eval_only' && run.load_checkpoint_path === null) {
    const message = 'load_checkpoint_path is required for eval_only: expected the path of a checkpoint, received null';
    found.problem('run_config.load_checkpoint_path', message);
  }
};

const evaluateSection: Rule = ({ run_config: run, evaluate }, found) => {
  if (run?.mode !== undefined && run.mode !== 'train_only' && !found.given('evaluate'))
    found.problem(
      'evaluate',
      `Config section 'evaluate' must be a mapping: received nothing, and ${run.mode} evaluates`,
    );
  if (evaluate?.metrics === undefined) return;
  for (const [index, name] of evaluate.metrics.entries()) {
    if ((METRICS as readonly string[]).includes(name.toLowerCase())) continue;
    const hint = nearest(name, METRICS);
    const also = hint === undefined ? '' : `; did you mean ${hint}?`;
    found.warn(`evaluate.metrics[${index}]`, `unknown metric ${name}, ignored${also}`);
  }
};

const headsDivideWidth: Rule = ({ model_config: model }, found) => {
  if (model?.d_model === undefined || model.n_heads === undefined || model.d_model % model.n_heads === 0) return;
  found.problem(
    'model_config.d_model',
    `expected a multiple of n_heads (${model.n_heads}), received ${model.d_model} (number)`,
  );
};

const crossAttentionDropout: Rule = ({ model_config: model }, found) => {
  const regularization = model?.regularization;
  if (regularization && !found.given('model_config.regularization.cross_attention_dropout'))
    regularization.cross_attention_dropout = regularization.dropout;
};

const validationMetrics: Rule = ({ training_config: training }, found) => {
  const metrics = training?.logging?.validation_metrics;
  if (training === undefined || metrics === undefined || metrics.includes(undefined as never)) return;
  const unique = [...new Set(metrics)];
  if (unique.length < metrics.length) {
    found.warn('training_config.logging.validation_metrics', 'a metric is named twice; it gets one column');
    training.logging = { ...training.logging, validation_metrics: unique };
  }
  const monitor = training.monitor_metric;
  if (monitor === undefined || monitor === 'loss' || unique.includes(monitor)) return;
  const message = `expected loss or one of logging.validation_metrics (${unique.join(', ')}), received "${monitor}"`;
  found.problem('training_config.monitor_metric', message);
};

const highestRate: Rule = ({ training_config: training }, found) => {
  if (training?.scheduler && !found.given('training_config.scheduler.max_lr'))
    training.scheduler.max_lr = training.optimizer?.lr;
};

const trainablePrefixes: Rule = ({ training_config: training }, found) => {
  const { type, initial_trainable_prefixes: prefixes } = training?.strategy ?? {};
  if (type === 'staged_unfreeze' && prefixes?.length === 0)
    found.problem(
      'training_config.strategy.initial_trainable_prefixes',
      'expected at least one prefix: staged_unfreeze would have nothing to train, received an empty list',
    );
};

const embeddingSource: Rule = ({ data_config: data }, found, compat) => {
  const embeddings = data?.embeddings;
  if (embeddings?.source === undefined) return;
  const at = 'data_config.embeddings';
  const name: string = embeddings.source;
  if (!(EMBEDDING_SOURCES as readonly string[]).includes(name)) {
    const hint = nearest(name, EMBEDDING_SOURCES);
    if (hint !== undefined) {
      const expected = `expected one of ${EMBEDDING_SOURCES.join(', ')}, or the name of an embedding model`;
      return found.problem(`${at}.source`, `Unsupported embedding source: ${name}: ${expected}; did you mean ${hint}?`);
    }
    embeddings.source = compat.legacySourceIsSynthetic ? 'synthetic' : 'cache';
  }
  if (embeddings.source === 'cache' && embeddings.path === null) embeddings.path = embeddings.cache_dir;
  if (embeddings.source === 'synthetic' || embeddings.path !== null) return;
  const wanted = {
    sequence: 'the FASTA file (embeddings.path)',
    cache: 'the folder with index.json (embeddings.path or embeddings.cache_dir)',
    store: 'the packed .safetensors file (embeddings.path)',
  }[embeddings.source];
  const source = name === embeddings.source ? name : `${name}, which means ${embeddings.source},`;
  const synthetic =
    name === embeddings.source ? '' : '; random embeddings, as RELIC 5f23433 made, are source: synthetic';
  found.problem(`${at}.path`, `source ${source} needs ${wanted}, received null${synthetic}`);
};

const simulatedInteractome: Rule = ({ data_config: data }, found) => {
  const simulate = data?.benchmark?.simulate;
  if (!simulate) return;
  const at = 'data_config.benchmark.simulate';
  if (!found.given(`${at}.out_dir`)) {
    simulate.out_dir = data?.benchmark?.root_dir;
    if (simulate.out_dir === '') found.problem(`${at}.out_dir`, 'must be a non-empty string: received ""');
  }
  if (
    simulate.min_length !== undefined &&
    simulate.max_length !== undefined &&
    simulate.min_length > simulate.max_length
  )
    found.problem(
      `${at}.min_length`,
      `expected at most max_length (${simulate.max_length}), received ${simulate.min_length} (number)`,
    );
};

const subsetOfCompat: Rule = ({ data_config: data }, found, compat) => {
  if (data?.dataloader && compat.firstPairsSubset && !found.given('data_config.dataloader.subset'))
    data.dataloader.subset = 'first';
};

const RULES: readonly Rule[] = [
  checkpointForEvaluation,
  evaluateSection,
  headsDivideWidth,
  crossAttentionDropout,
  validationMetrics,
  highestRate,
  trainablePrefixes,
  embeddingSource,
  simulatedInteractome,
  subsetOfCompat,
];
