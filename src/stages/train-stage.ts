/** A stage that trains: what pretraining and finetuning have in common (contract 1.3, rows 6 to 11). */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { dropBackup } from '../artifacts/checkpoint/directory.ts';
import { trainingStepColumns } from '../artifacts/csv.ts';
import { BEST_CHECKPOINT } from '../artifacts/run-directory.ts';
import { isFirst } from '../distributed/group.ts';
import { metricDirection } from '../metrics/registry.ts';
import { EarlyStopping } from '../train/early-stopping.ts';
import { evaluate } from '../train/evaluate.ts';
import { createStrategy } from '../train/strategies/registry.ts';
import { train } from '../train/trainer.ts';
import { CheckpointTimer } from './checkpoint-timer.ts';
import { loadState, saveState } from './checkpoints.ts';
import { lastCheckpointPath, saveLast } from './last-checkpoint.ts';
import { stageObserver } from './observer.ts';
import type { Stage, StageContext, StageName, StageResult } from './stage.ts';
import { dropoutKeys, hardExamplesOf, optimizerSettings, scheduleOf } from './train-settings.ts';

/** Validation metrics are computed at this probability (contract 1.7). */
const VALIDATION_THRESHOLD = 0.5;

/** @param startsFrom the stage whose best checkpoint it continues, or null for the values the model has. */
export function trainingStage(name: StageName, startsFrom: StageName | null): Stage {
  return {
    savesModel: true,
    csvName: 'training_step.csv',
    csvColumns: (config) => trainingStepColumns(config.training_config.logging.validation_metrics),
    run: (context) => runTraining(context, name, startsFrom),
  };
}

async function runTraining(context: StageContext, stage: StageName, from: StageName | null): Promise<StageResult> {
  const { log, place, csv, loaded, model, written } = context;
  const { run_config: run } = loaded.config;
  const best = join(place.modelDir, BEST_CHECKPOINT);

  if (context.last === undefined) begin(context, stage, from);
  else if (context.last.checkpoint !== null) model.load(context.last.checkpoint.weights(model.program));
  await trainModel(context, stage);

  if (isFirst(context.group)) {
    if (!existsSync(best)) {
      saveState(best, model.program, model.state());
      written.add(best);
      log.event('checkpoint_saved_fallback', { path: best });
    }
    dropBackup(lastCheckpointPath(place));
  }
  const paths = { best_checkpoint_path: best, training_csv_path: csv.path };
  log.event('stage_complete', { ...paths, run_id: place.runId, stage });
  log.event('stage_boundary_end', run.mode === 'train_only' ? { stage } : { checkpoint_path: best, stage });
  return { ...place, csvPath: csv.path, checkpointPath: best };
}

/** The first records of the stage, and the weights it starts from, which rank 0 reads for all. */
function begin(context: StageContext, stage: StageName, from: StageName | null): void {
  const { log, place, csv, loaded, model } = context;
  const { run_config: run, training_config: training } = loaded.config;
  log.event('stage_boundary_start', { stage });
  log.event('stage_start', { log_dir: place.logDir, model_dir: place.modelDir, run_id: place.runId, stage });
  const source = from === null ? undefined : context.places.get(from);
  if (source !== undefined) {
    const path = join(source.modelDir, BEST_CHECKPOINT);
    log.event('checkpoint_load_start', { path });
    if (isFirst(context.group)) model.load(loadState(path, model.program));
    log.event('checkpoint_load_complete', { path });
  }
  log.event('training_config_applied', {
    csv_path: csv.path,
    epochs: training.epochs,
    heartbeat_every_n_steps: training.logging.heartbeat_every_n_steps,
    monitor_metric: training.monitor_metric,
    save_best_only: run.save_best_only,
    validation_metrics: training.logging.validation_metrics.join(','),
  });
}

function trainModel(context: StageContext, stage: StageName): Promise<void> {
  const { loaded, model, loaders, ranks, group, signal, last, log } = context;
  const { config, compat } = loaded;
  const { training_config: training } = config;
  const optimizer = optimizerSettings(config);
  const timer = new CheckpointTimer(config.run_config.checkpoint_every);
  const validate = () =>
    evaluate({
      model,
      batches: loaders.evaluation('valid'),
      metrics: training.logging.validation_metrics,
      threshold: VALIDATION_THRESHOLD,
      orderAveraged: false,
      lossByBatch: compat.validationLossByBatch,
      undefinedAsZero: compat.singleClassMetricsZero,
      signal,
      group,
    });
  const keys = dropoutKeys(config, compat, ranks, stage);
  return train({
    model,
    group,
    data: loaders.train,
    validate,
    epochs: training.epochs,
    strategy: createStrategy(
      training.strategy,
      model.program.parameters.map(({ name }) => name),
    ),
    optimizer,
    schedule: scheduleOf(config, loaders.train.steps),
    hardExamples: hardExamplesOf(config, compat),
    dropoutKeys: group.size === 1 ? keys : [keys[group.rank]],
    restartOnUnfreeze: compat.restartOnUnfreeze,
    lossOfRankZero: compat.trainLossOfRankZero,
    monitor: training.monitor_metric,
    earlyStopping: new EarlyStopping(metricDirection(training.monitor_metric), training.early_stopping_patience),
    heartbeatEvery: training.logging.heartbeat_every_n_steps,
    observer: stageObserver(context),
    resume: last && { state: last.state, optimizer: last.checkpoint?.optimizer(optimizer.type) ?? null },
    onCheckpoint(moment, state) {
      // What training consists of is the same on every rank, but for the dropout masks, which follow from the step.
      if (!isFirst(group) || !timer.isDue(moment)) return;
      const path = saveLast(context, state());
      log.note('info', 'checkpoint_saved_last', { path });
    },
    signal,
  });
}
