/** `training_config` in the trainer's terms. */
import type { Compat } from '../config/compat.ts';
import type { Config } from '../config/schema.ts';
import type { DropoutKey, HardExamples, OptimizerSettings } from '../engine/engine.ts';
import { dropoutKey } from '../random/philox.ts';
import { constantSchedule, oneCycle, type Schedule } from '../train/schedule.ts';
import type { StageName } from './stage.ts';

export function optimizerSettings({ training_config: { optimizer } }: Config): OptimizerSettings {
  const { type, beta2, eps, weight_decay: weightDecay } = optimizer;
  return { type, beta2, eps, weightDecay };
}

/** @param stepsPerEpoch of one rank. A OneCycle schedule spans all epochs and sets beta1 or the momentum itself. */
export function scheduleOf({ training_config: training }: Config, stepsPerEpoch: number): Schedule {
  const { optimizer, scheduler } = training;
  if (scheduler.type === 'none')
    return constantSchedule(optimizer.lr, optimizer.type === 'adamw' ? optimizer.beta1 : 0);
  return oneCycle({
    maxLr: scheduler.max_lr,
    totalSteps: stepsPerEpoch * training.epochs,
    pctStart: scheduler.pct_start,
    divFactor: scheduler.div_factor,
    finalDivFactor: scheduler.final_div_factor,
    anneal: scheduler.anneal_strategy,
  });
}

/** Which pairs an epoch, counted from 0, trains on; null for all. */
export function hardExamplesOf(config: Config, compat: Compat): (epoch: number) => HardExamples | null {
  const {
    strategy,
    keep_ratio: keepRatio,
    min_keep: minKeep,
    warmup_epochs: warmup,
  } = config.data_config.dataloader.sampling;
  if (strategy !== 'ohem') return () => null;
  const first = compat.ohemWarmupIgnored ? 0 : warmup;
  return (epoch) => (epoch < first ? null : { keepRatio, minKeep });
}

/** One a rank; each stage has masks of its own. */
export function dropoutKeys(config: Config, compat: Compat, ranks: number, stage: StageName): DropoutKey[] {
  return Array.from({ length: ranks }, (_, rank) =>
    dropoutKey(config.run_config.seed, compat.sameDropoutOnEveryRank ? 0 : rank, stage),
  );
}
