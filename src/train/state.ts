/** Where the training of a stage stands between two steps: all that a later process needs besides weights and moments. */
import type { GeneratorPosition } from '../random/torch-generator.ts';
import type { EarlyStoppingState } from './early-stopping.ts';
import type { LossTotals } from './evaluate.ts';
import type { StrategyState } from './strategies/strategy.ts';

/**
 * Hard-example mining, the schedule and the dropout masks have no state of their own: they follow from the epoch, from
 * `scheduleStep` and from `dropoutStep`.
 */
export interface TrainState {
  /** Epochs that are done. */
  readonly epoch: number;
  /** Steps of the next epoch that are done; all of them while its validation is not. */
  readonly step: number;
  /** The epochs are done, or early stopping ended them. */
  readonly finished: boolean;
  /** Moves of the schedule, which an unfreezing starts again under compat. */
  readonly scheduleStep: number;
  readonly dropoutStep: number;
  /** The data generator before it drew the order of the running epoch. */
  readonly order: GeneratorPosition;
  /** Train losses of the running epoch. */
  readonly running: LossTotals;
  /** That the running epoch has taken. */
  readonly seconds: number;
  readonly earlyStopping: EarlyStoppingState;
  readonly strategy: StrategyState;
}

/** After a step, after an epoch, after the last epoch, or when training was asked to stop. */
export type CheckpointMoment = 'step' | 'epoch' | 'end' | 'interruption';
