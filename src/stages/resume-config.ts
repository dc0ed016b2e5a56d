/** Which settings may change between an interrupted run and its continuation. */
import { createHash } from 'node:crypto';
import { canonicalJson } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { type Problem, shown } from '../errors.ts';

/** They change no result. What the pair files hold is compared by its hash, wherever they are now. */
export const FREE_KEYS: readonly string[] = [
  'run_config.pretrain_run_id',
  'run_config.finetune_run_id',
  'run_config.eval_run_id',
  'run_config.checkpoint_every',
  'device_config.encoder_cache_mb',
  'data_config.benchmark.root_dir',
  'data_config.benchmark.name',
  'data_config.benchmark.species',
  'data_config.benchmark.split_strategy',
  'data_config.benchmark.processed_dir',
  'data_config.embeddings.store_dir',
  'data_config.dataloader.train_dataset',
  'data_config.dataloader.valid_dataset',
  'data_config.dataloader.test_dataset',
  'data_config.dataloader.num_workers',
  'data_config.dataloader.pin_memory',
  'training_config.logging.heartbeat_every_n_steps',
  'evaluate.metrics',
];

/** They change sums in their last digits: the run can go on, but not bit for bit. */
export const ENGINE_KEYS: readonly string[] = ['device_config.device', 'device_config.engine', 'device_config.threads'];

type Tree = Readonly<Record<string, unknown>>;

/** Every setting that must be equal and is not, with its key. */
export function settingsThatDiffer(saved: Tree, current: Config): Problem[] {
  const [before, now] = [decisiveSettings(saved), decisiveSettings(current as unknown as Tree)];
  const keys = [...new Set([...before.keys(), ...now.keys()])];
  return keys
    .filter((key) => canonicalJson(before.get(key) ?? null) !== canonicalJson(now.get(key) ?? null))
    .map((key) => ({ where: key, message: `was ${shown(before.get(key))}, is ${shown(now.get(key))}` }));
}

/** SHA-256, in hex, of every setting that must be equal. */
export function settingsHash(config: Config): string {
  const settings = Object.fromEntries(decisiveSettings(config as unknown as Tree));
  return createHash('sha256').update(canonicalJson(settings)).digest('hex');
}

function decisiveSettings(config: Tree): Map<string, unknown> {
  const free = new Set([...FREE_KEYS, ...ENGINE_KEYS]);
  return new Map(leaves(config, '').filter(([key]) => !free.has(key)));
}

function leaves(tree: Tree, prefix: string): [string, unknown][] {
  return Object.entries(tree).flatMap(([key, value]): [string, unknown][] =>
    value !== null && typeof value === 'object' && !Array.isArray(value)
      ? leaves(value as Tree, `${prefix}${key}.`)
      : [[prefix + key, value]],
  );
}
