/**
 * The training loop of one stage (contract 1.7). It moves parameters through an engine, tells an observer what happens
 * and touches no file.
 */

import { ALONE, type Group } from '../distributed/group.ts';
import type {
  Batch,
  DropoutKey,
  EngineModel,
  HardExamples,
  OptimizerSettings,
  OptimizerState,
  ShardLoss,
} from '../engine/engine.ts';
import { RelicError } from '../errors.ts';
import type { TorchGenerator } from '../random/torch-generator.ts';
import type { EarlyStopping } from './early-stopping.ts';
import { type Evaluation, MeanLoss } from './evaluate.ts';
import { breathe, interruption, isInterruption } from './interruption.ts';
import type { TrainObserver } from './observer.ts';
import type { Schedule } from './schedule.ts';
import type { CheckpointMoment, TrainState } from './state.ts';
import type { Strategy } from './strategies/strategy.ts';

/** The training split, cut for the ranks of this process: one, or all that it simulates. */
export interface TrainData {
  /** Steps of an epoch. */
  readonly steps: number;
  /**
   * For each step from `firstStep` (0 unless given) on, one batch a rank.
   *
   * @param epoch counted from 0; called once an epoch, in order.
   */
  epoch(epoch: number, firstStep?: number): Iterable<readonly Batch[]>;
  /** What the orders of epochs are drawn from. */
  readonly generator: Pick<TorchGenerator, 'position' | 'moveTo'>;
  /** A pair of a batch in words, for error messages. */
  describePair(batch: Batch, index: number): string;
}

export interface TrainOptions {
  readonly model: Pick<EngineModel, 'setOptimizer' | 'loadOptimizerState' | 'trainStep' | 'synchronize'>;
  readonly data: TrainData;
  readonly validate: () => Promise<Evaluation>;
  readonly epochs: number;
  readonly strategy: Strategy;
  readonly optimizer: OptimizerSettings;
  readonly schedule: Schedule;
  /** @param epoch counted from 0. */
  readonly hardExamples: (epoch: number) => HardExamples | null;
  /** One a rank of this process. */
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
  /** Where an earlier process left off; the model of rank 0 has its weights. Moments are null where rank 0 has them. */
  readonly resume?: { readonly state: TrainState; readonly optimizer: OptimizerState | null } | undefined;
  /**
   * Called wherever training could be continued from, after what led there was observed. What it throws ends the
   * training.
   *
   * @param state makes a copy, at a cost: only for a checkpoint that is written.
   */
  readonly onCheckpoint?: ((moment: CheckpointMoment, state: () => TrainState) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The processes that train together; this one alone unless given. All stop at the same step. */
  readonly group?: Group | undefined;
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
  const { model, data, strategy, schedule, observer, signal, group = ALONE } = options;
  const { clock = () => performance.now() } = options;
  const alone = group.size === 1;
  const position = await startingPosition(options);
  let running = new MeanLoss(options.lossOfRankZero, options.resume?.state.running);
  let started = clock() - 1000 * (options.resume?.state.seconds ?? 0);
  const checkpoint = (moment: CheckpointMoment, finished = false) =>
    options.onCheckpoint?.(moment, () => ({
      ...position,
      finished,
      running: running.totals(),
      seconds: (clock() - started) / 1000,
      earlyStopping: options.earlyStopping.state(),
      strategy: strategy.state(),
    }));
  if (options.resume?.state.finished) return;
  try {
    while (position.epoch < options.epochs) {
      const { epoch } = position;
      if (position.step === 0) {
        observer({ type: 'epochStart', epoch: epoch + 1, totalEpochs: options.epochs });
        started = clock();
        running = new MeanLoss(options.lossOfRankZero);
        const trainable = strategy.onEpochStart(epoch);
        if (trainable !== null) {
          model.setOptimizer(options.optimizer, trainable, !options.restartOnUnfreeze);
          if (options.restartOnUnfreeze) position.scheduleStep = 0;
        }
      }

      const hardExamples = options.hardExamples(epoch);
      for (const batches of data.epoch(epoch, position.step)) {
        await breathe(alone ? signal : undefined);
        group.progress(position.dropoutStep, 'train');
        const shards = batches.map((batch, rank) => ({ batch, dropoutKey: options.dropoutKeys[rank] }));
        const moved = schedule.at(position.scheduleStep);
        const stop = !alone && signal?.aborted === true;
        const settings = { step: position.dropoutStep, ...moved, hardExamples, stop };
        const losses = await model.trainStep(shards, settings).catch((error: unknown) => {
          throw located(error, epoch + 1, position.step + 1, batches, data);
        });
        addLosses(running, losses, options.lossOfRankZero);
        position.dropoutStep++;
        position.scheduleStep++;
        position.step++;
        observer({
          type: 'step',
          epoch: epoch + 1,
          step: position.step,
          steps: data.steps,
          runningLoss: running.value,
          lr: schedule.at(position.scheduleStep).lr,
          pairs: group.size * batches.reduce((pairs, batch) => pairs + batch.labels.length, 0),
          heartbeat: isHeartbeat(position.step, data.steps, options.heartbeatEvery),
        });
        checkpoint('step');
        if (losses.some(({ stop }) => stop)) throw interruption(signal);
      }

      const validation = await options.validate();
      const monitored = monitoredValue(validation, options.monitor);
      const { improved, stop } = options.earlyStopping.update(monitored);
      observer({
        type: 'epochDone',
        epoch: epoch + 1,
        seconds: (clock() - started) / 1000,
        trainLoss: running.value,
        validation,
        monitored,
        improved,
        lr: schedule.at(position.scheduleStep).lr,
      });
      if (stop) observer({ type: 'earlyStop', epoch: epoch + 1 });
      Object.assign(position, { epoch: epoch + 1, step: 0, order: data.generator.position() });
      const finished = stop || position.epoch === options.epochs;
      checkpoint(finished ? 'end' : 'epoch', finished);
      if (finished) return;
    }
  } catch (error) {
    if (isInterruption(error)) {
      checkpoint('interruption');
      observer({ type: 'interrupted', epoch: position.epoch + 1, step: position.step });
    }
    throw error;
  }
}

/** Sets the optimizer, and everything else as `resume` says; parameters and moments are then those of rank 0. */
async function startingPosition({ model, data, strategy, optimizer, observer, earlyStopping, resume }: TrainOptions) {
  if (resume === undefined) {
    model.setOptimizer(optimizer, strategy.onTrainBegin(), false);
    await model.synchronize?.('everything');
    return { epoch: 0, step: 0, scheduleStep: 0, dropoutStep: 0, order: data.generator.position() };
  }
  const { epoch, step, scheduleStep, dropoutStep, order } = resume.state;
  model.setOptimizer(optimizer, strategy.restore(resume.state.strategy), false);
  if (resume.optimizer !== null) model.loadOptimizerState(resume.optimizer);
  await model.synchronize?.('everything');
  earlyStopping.restore(resume.state.earlyStopping);
  data.generator.moveTo(order);
  if (!resume.state.finished) observer({ type: 'resumed', epoch: epoch + 1, step, steps: data.steps });
  return { epoch, step, scheduleStep, dropoutStep, order };
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
