/**
 * The training loop of one stage (contract 1.7). It moves parameters through an engine, tells an observer what happens
 * and touches no file.
 */

import type { Batch, DropoutKey, EngineModel, HardExamples, OptimizerSettings, ShardLoss } from '../engine/engine.ts';
import { RelicError } from '../errors.ts';
import type { EarlyStopping } from './early-stopping.ts';
import { type Evaluation, MeanLoss } from './evaluate.ts';
import { breathe, isInterruption } from './interruption.ts';
import type { TrainObserver } from './observer.ts';
import type { Schedule } from './schedule.ts';
import type { Strategy } from './strategies/strategy.ts';

/** The training split, cut for all ranks. */
export interface TrainData {
  /** Steps of an epoch. */
  readonly steps: number;
  /**
   * For each step one batch a rank.
   *
   * @param epoch counted from 0; called once an epoch, in order.
   */
  epoch(epoch: number): Iterable<readonly Batch[]>;
  /** A pair of a batch in words, for error messages. */
  describePair(batch: Batch, index: number): string;
}

export interface TrainOptions {
  readonly model: Pick<EngineModel, 'setOptimizer' | 'trainStep'>;
  readonly data: TrainData;
  readonly validate: () => Promise<Evaluation>;
  readonly epochs: number;
  readonly strategy: Strategy;
  readonly optimizer: OptimizerSettings;
  readonly schedule: Schedule;
  /** @param epoch counted from 0. */
  readonly hardExamples: (epoch: number) => HardExamples | null;
  /** One a rank. */
  readonly dropoutKeys: readonly DropoutKey[];
  /** Changing what is trained makes a new optimizer and starts the schedule again (contract 1.8). */
  readonly restartOnUnfreeze: boolean;
  /** The train loss is the mean of rank 0's batch losses rather than the mean over the pairs of all ranks. */
  readonly lossOfRankZero: boolean;
  /** Name of a validation metric, or `loss`. */
  readonly monitor: string;
  readonly earlyStopping: EarlyStopping;
  /** Steps between progress lines; 0 for the first and the last step only. */
  readonly heartbeatEvery: number;
  readonly observer: TrainObserver;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds from any start. */
  readonly clock?: () => number;
}

/** How many pairs of a step an error names. */
const PAIRS_NAMED = 10;

/**
 * Trains until the epochs are done or early stopping ends it.
 *
 * @throws RELIC_NOT_FINITE naming epoch, step and pairs; RELIC_INTERRUPTED; whatever the observer throws.
 */
export async function train(options: TrainOptions): Promise<void> {
  const { model, data, strategy, schedule, observer, signal, clock = () => performance.now() } = options;
  const position = { epoch: 1, step: 0 };
  let scheduleStep = 0;
  let dropoutStep = 0;
  model.setOptimizer(options.optimizer, strategy.onTrainBegin(), false);
  try {
    for (let epoch = 0; epoch < options.epochs; epoch++) {
      Object.assign(position, { epoch: epoch + 1, step: 0 });
      observer({ type: 'epochStart', epoch: epoch + 1, totalEpochs: options.epochs });
      const started = clock();

      const trainable = strategy.onEpochStart(epoch);
      if (trainable !== null) {
        model.setOptimizer(options.optimizer, trainable, !options.restartOnUnfreeze);
        if (options.restartOnUnfreeze) scheduleStep = 0;
      }

      const hardExamples = options.hardExamples(epoch);
      const running = new MeanLoss(options.lossOfRankZero);
      for (const batches of data.epoch(epoch)) {
        await breathe(signal);
        const shards = batches.map((batch, rank) => ({ batch, dropoutKey: options.dropoutKeys[rank] }));
        const settings = { step: dropoutStep++, ...schedule.at(scheduleStep++), hardExamples };
        const losses = await model.trainStep(shards, settings).catch((error: unknown) => {
          throw located(error, epoch + 1, position.step + 1, batches, data);
        });
        addLosses(running, losses, options.lossOfRankZero);
        position.step++;
        observer({
          type: 'step',
          epoch: epoch + 1,
          step: position.step,
          steps: data.steps,
          runningLoss: running.value,
          lr: schedule.at(scheduleStep).lr,
          pairs: batches.reduce((pairs, batch) => pairs + batch.labels.length, 0),
          heartbeat: isHeartbeat(position.step, data.steps, options.heartbeatEvery),
        });
      }

      const validation = await options.validate();
      const seconds = (clock() - started) / 1000;
      const monitored = monitoredValue(validation, options.monitor);
      const { improved, stop } = options.earlyStopping.update(monitored);
      const lr = schedule.at(scheduleStep).lr;
      observer({
        type: 'epochDone',
        epoch: epoch + 1,
        seconds,
        trainLoss: running.value,
        validation,
        monitored,
        improved,
        lr,
      });
      if (stop) {
        observer({ type: 'earlyStop', epoch: epoch + 1 });
        return;
      }
    }
  } catch (error) {
    if (isInterruption(error)) observer({ type: 'interrupted', ...position });
    throw error;
  }
}

/** At step 1, at the last step, and at every N-th (contract 1.3). */
export function isHeartbeat(step: number, steps: number, every: number): boolean {
  return step === 1 || step === steps || (every > 0 && step % every === 0);
}

function addLosses(running: MeanLoss, losses: readonly ShardLoss[], rankZeroOnly: boolean): void {
  for (const { lossSum, kept } of rankZeroOnly ? losses.slice(0, 1) : losses) running.add(lossSum, kept);
}

function monitoredValue(validation: Evaluation, monitor: string): number {
  return monitor === 'loss' ? validation.loss : (validation.metrics.get(monitor) ?? Number.NaN);
}

function located(error: unknown, epoch: number, step: number, batches: readonly Batch[], data: TrainData): unknown {
  if (!(error instanceof RelicError) || error.code !== 'RELIC_NOT_FINITE') return error;
  const pairs = batches.flatMap((batch) => Array.from(batch.labels, (_, i) => data.describePair(batch, i)));
  const problems = pairs.slice(0, PAIRS_NAMED).map((message) => ({ where: 'pair of this step', message }));
  return new RelicError('RELIC_NOT_FINITE', error.message, {
    where: `epoch ${epoch} step ${step}`,
    problems,
    cause: error,
  });
}
