/** Warnings for settings that the run will not use, so that nobody tunes a number that nothing reads. */
import type { Compat } from './compat.ts';
import type { Findings } from './rules.ts';
import type { Config } from './schema.ts';

type Effect = (config: Config, found: Findings, compat: Compat) => void;

/** Warns of every value in a resolved config that has no effect. */
export function warnOfNoEffect(config: Config, found: Findings, compat: Compat): void {
  for (const effect of EFFECTS) effect(config, found, compat);
}

/** Warns once for those of `keys` that the user set. */
function unused(found: Findings, section: string, keys: readonly string[], because: string): void {
  const given = keys.filter((key) => found.given(`${section}.${key}`));
  if (given.length > 0) found.warn(`${section}.${given[0]}`, `${given.join(', ')}: no effect, ${because}`);
}

const checkpointPath: Effect = ({ run_config: run }, found) => {
  if (run.mode !== 'eval_only' && run.load_checkpoint_path !== null)
    found.warn('run_config.load_checkpoint_path', `no effect, mode is ${run.mode}`);
};

const optimizer: Effect = ({ training_config: { optimizer, scheduler } }, found) => {
  const at = 'training_config.optimizer';
  if (optimizer.type === 'sgd') unused(found, at, ['beta1', 'beta2', 'eps'], 'type is sgd');
  if (scheduler.type !== 'onecycle') return;
  if (found.given(`${at}.lr`) && optimizer.lr !== scheduler.max_lr)
    found.warn(
      `${at}.lr`,
      `no effect, scheduler.type is onecycle: it starts at max_lr / div_factor and peaks at max_lr (${scheduler.max_lr})`,
    );
  if (optimizer.type === 'adamw')
    unused(found, at, ['beta1'], 'scheduler.type is onecycle: it moves beta1 from 0.95 to 0.85 and back');
};

const scheduler: Effect = ({ training_config: { scheduler } }, found) => {
  const keys = ['max_lr', 'pct_start', 'div_factor', 'final_div_factor', 'anneal_strategy'];
  if (scheduler.type === 'none') unused(found, 'training_config.scheduler', keys, 'type is none');
};

const strategy: Effect = ({ training_config: { strategy, epochs } }, found) => {
  const at = 'training_config.strategy';
  if (strategy.type === 'none') unused(found, at, ['unfreeze_epoch', 'initial_trainable_prefixes'], 'type is none');
  else if (strategy.unfreeze_epoch >= epochs)
    found.warn(
      `${at}.unfreeze_epoch`,
      `no effect, training ends after epoch ${epochs - 1}: only the first parameters are ever trained`,
    );
};

const sampling: Effect = ({ data_config: { dataloader } }, found, compat) => {
  const at = 'data_config.dataloader.sampling';
  if (dataloader.sampling.strategy === 'none')
    unused(found, at, ['keep_ratio', 'min_keep', 'warmup_epochs'], 'strategy is none');
  else if (compat.ohemWarmupIgnored && dataloader.sampling.warmup_epochs > 0)
    found.warn(`${at}.warmup_epochs`, 'no effect, run_config.compat reproduces a version that did not read it');
};

const loader: Effect = ({ data_config: { dataloader } }, found) => {
  const at = 'data_config.dataloader';
  if (dataloader.num_workers > 0) found.warn(`${at}.num_workers`, 'no effect, batches are indices and need no workers');
  if (dataloader.pin_memory) found.warn(`${at}.pin_memory`, 'no effect, embeddings are handed to the engine once');
};

const patience: Effect = ({ training_config: { early_stopping_patience } }, found) => {
  if (early_stopping_patience <= 0)
    found.warn(
      'training_config.early_stopping_patience',
      `${early_stopping_patience} stops every stage after its first epoch`,
    );
};

const EFFECTS: readonly Effect[] = [checkpointPath, optimizer, scheduler, strategy, sampling, loader, patience];
