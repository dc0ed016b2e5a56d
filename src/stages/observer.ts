/** Writes what the trainer tells: log lines, and on rank 0 CSV rows and checkpoints, in the contract's order (1.3), and progress. */
import { join } from 'node:path';
import { type CsvValue, pythonRepr } from '../artifacts/csv.ts';
import { BEST_CHECKPOINT, epochCheckpointName } from '../artifacts/run-directory.ts';
import { isFirst } from '../distributed/group.ts';
import { float, formatFixed } from '../log.ts';
import type { EpochDone, Resumed, StepDone, TrainObserver } from '../train/observer.ts';
import { saveState } from './checkpoints.ts';
import type { StageContext } from './stage.ts';

const SIGNIFICANT_DIGITS = 6;

/** @param clock milliseconds from any start, for the progress display. */
export function stageObserver(context: StageContext, clock: () => number = () => performance.now()): TrainObserver {
  const { log } = context;
  const progress = new ProgressMeter(context, clock);
  return (event) => {
    switch (event.type) {
      case 'epochStart':
        progress.startEpoch();
        log.event('epoch_start', { epoch: event.epoch, total_epochs: event.totalEpochs });
        break;
      case 'resumed':
        progress.resume(event);
        break;
      case 'step':
        if (event.heartbeat) heartbeat(context, event, progress.collectiveShare());
        progress.step(event);
        break;
      case 'epochDone':
        if (isFirst(context.group)) writeEpoch(context, event);
        tellEpoch(context, event);
        break;
      case 'earlyStop':
        log.event('early_stopping_triggered', { epoch: event.epoch });
        break;
      case 'interrupted':
        log.warning('interrupted', { epoch: event.epoch, step: event.step });
        break;
    }
  };
}

/** @param share of the stage's time that this process waited for other ranks; undefined alone. */
function heartbeat({ log, loaded }: StageContext, done: StepDone, share: number | undefined): void {
  const { epoch, step, steps, runningLoss, lr } = done;
  const rate = loaded.compat.learningRateSixDecimals
    ? formatFixed(lr, 6)
    : pythonRepr(Number(lr.toPrecision(SIGNIFICANT_DIGITS)));
  log.heartbeat(
    `Epoch ${epoch} step ${step}/${steps} | running_train_loss=${formatFixed(runningLoss, 4)} | lr=${rate}`,
    {
      epoch,
      step,
      steps,
      running_train_loss: float(runningLoss),
      lr: float(lr),
      collective_share: share && float(share),
    },
  );
}

function writeEpoch(context: StageContext, done: EpochDone): void {
  const { log, csv, loaded, place, model, written } = context;
  const { training_config: training, run_config: run } = loaded.config;
  const { epoch, validation } = done;
  const monitorMetric = monitorName(context);
  const metrics = training.logging.validation_metrics.map((name) => cell(validation.metrics.get(name)));
  csv.append([epoch, float(done.seconds), float(done.trainLoss), float(validation.loss), ...metrics, float(done.lr)]);
  written.add(csv.path);
  log.event('training_csv_row_written', { epoch, path: csv.path });
  if (Number.isNaN(done.monitored)) {
    log.note('warning', 'monitor_undefined', {
      epoch,
      monitor_metric: monitorMetric,
      reason: 'the split has one class',
    });
  }

  const save = (name: string) => {
    const path = join(place.modelDir, name);
    saveState(path, model.program, model.state());
    written.add(path);
    return path;
  };
  const monitored = { monitor_metric: monitorMetric, monitor_value: float(done.monitored) };
  if (done.improved) log.event('checkpoint_saved_best', { epoch, ...monitored, path: save(BEST_CHECKPOINT) });
  if (!run.save_best_only) log.event('checkpoint_saved_epoch', { epoch, path: save(epochCheckpointName(epoch)) });
}

function tellEpoch(context: StageContext, done: EpochDone): void {
  context.log.event('epoch_complete', {
    epoch: done.epoch,
    epoch_seconds: float(done.seconds),
    monitor_metric: monitorName(context),
    monitor_value: float(done.monitored),
    train_loss: float(done.trainLoss),
    val_loss: float(done.validation.loss),
  });
}

function monitorName({ loaded }: StageContext): string {
  return `val_${loaded.config.training_config.monitor_metric}`;
}

/** An undefined metric is an empty cell. */
export function cell(value: number | null | undefined): CsvValue {
  return value === null || value === undefined ? '' : float(value);
}

class ProgressMeter {
  private readonly context: StageContext;
  private readonly clock: () => number;
  private readonly stageStarted: number;
  /** Seconds that this process waited for other ranks before the stage. */
  private readonly waitedBefore: number;
  private epochStarted = 0;
  private epochPairs = 0;
  /** Steps that an earlier process did. */
  private stepsBefore = 0;

  constructor(context: StageContext, clock: () => number) {
    this.context = context;
    this.clock = clock;
    this.stageStarted = clock();
    this.waitedBefore = context.model.collectiveSeconds?.().waited ?? 0;
  }

  startEpoch(): void {
    this.epochStarted = this.clock();
    this.epochPairs = 0;
  }

  resume({ epoch, step, steps }: Resumed): void {
    this.startEpoch();
    this.stepsBefore = (epoch - 1) * steps + step;
  }

  /** Part of the stage's time that this process waited for other ranks; undefined where it is alone. */
  collectiveShare(): number | undefined {
    const seconds = this.context.model.collectiveSeconds?.().waited;
    if (seconds === undefined) return undefined;
    return (1000 * (seconds - this.waitedBefore)) / Math.max(1, this.clock() - this.stageStarted);
  }

  step({ epoch, step, steps, runningLoss, pairs }: StepDone): void {
    const { onProgress, place, loaded } = this.context;
    if (onProgress === undefined) return;
    const now = this.clock();
    const { epochs } = loaded.config.training_config;
    const done = (epoch - 1) * steps + step;
    this.epochPairs += pairs;
    onProgress({
      stage: place.stage,
      epoch,
      epochs,
      step,
      steps,
      loss: runningLoss,
      pairsPerSecond: (1000 * this.epochPairs) / (now - this.epochStarted),
      collectiveShare: this.collectiveShare(),
      etaSeconds: ((now - this.stageStarted) / 1000 / (done - this.stepsBefore)) * (epochs * steps - done),
    });
  }
}
