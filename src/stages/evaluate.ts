/** The test split scored with the best weights (contract 1.3, row 12). */
import { join } from 'node:path';
import { EVALUATE_COLUMNS } from '../artifacts/csv.ts';
import { BEST_CHECKPOINT } from '../artifacts/run-directory.ts';
import { isFirst } from '../distributed/group.ts';
import { float } from '../log.ts';
import { bestF1Threshold } from '../metrics/best-f1-threshold.ts';
import { METRICS } from '../metrics/registry.ts';
import { Scores } from '../metrics/scores.ts';
import { type Evaluation, evaluate as scoreSplit } from '../train/evaluate.ts';
import { loadState } from './checkpoints.ts';
import { cell } from './observer.ts';
import type { Stage, StageContext, StageResult } from './stage.ts';

const SPLIT = 'test';
const DEFAULT_THRESHOLD = 0.5;

export const evaluate: Stage = {
  savesModel: false,
  csvName: 'evaluate.csv',
  csvColumns: () => EVALUATE_COLUMNS,
  run: runEvaluation,
};

async function runEvaluation(context: StageContext): Promise<StageResult> {
  const { log, place, csv, model, written } = context;
  const stage = place.stage;
  const checkpointPath = evaluatedCheckpoint(context);
  log.event('stage_boundary_start', { stage });
  log.event('stage_start', { checkpoint_path: checkpointPath, log_dir: place.logDir, run_id: place.runId, stage });
  if (isFirst(context.group)) model.load(loadState(checkpointPath, model.program));
  await model.synchronize?.('everything');
  log.event('checkpoint_load_complete', { path: checkpointPath });

  const threshold = await decisionThreshold(context);
  const { metrics } = await score(context, SPLIT, threshold);
  const names = [...METRICS.keys()];
  const fields = names.map((name) => [name, float(metrics.get(name) ?? Number.NaN)]);
  log.event('evaluation_metrics', { ...Object.fromEntries(fields), split: SPLIT });
  for (const name of names.filter((each) => metrics.get(each) === null)) {
    log.note('warning', 'metric_undefined', { metric: name, split: SPLIT, reason: 'the split has one class' });
  }
  csv.append([SPLIT, ...names.map((name) => cell(metrics.get(name)))]);
  written.add(csv.path);
  log.event('evaluation_csv_written', { path: csv.path });
  log.event('stage_complete', { evaluate_csv_path: csv.path, run_id: place.runId, stage });
  log.event('stage_boundary_end', { stage });
  return { ...place, csvPath: csv.path, checkpointPath, metrics };
}

/** Finetuning's best weights, or those that eval_only names. */
function evaluatedCheckpoint({ loaded, places }: StageContext): string {
  const trained = places.get('finetune');
  return trained === undefined
    ? (loaded.config.run_config.load_checkpoint_path ?? '')
    : join(trained.modelDir, BEST_CHECKPOINT);
}

function score(context: StageContext, split: 'valid' | 'test', threshold: number): Promise<Evaluation> {
  const { config, compat } = context.loaded;
  return scoreSplit({
    model: context.model,
    batches: context.loaders.evaluation(split),
    metrics: [...METRICS.keys()],
    threshold,
    orderAveraged: config.evaluate.order_averaged,
    lossByBatch: compat.validationLossByBatch,
    undefinedAsZero: compat.singleClassMetricsZero,
    signal: context.signal,
    group: context.group,
  });
}

/** The configured threshold, or the one that gives the best F1 on the validation split. */
async function decisionThreshold(context: StageContext): Promise<number> {
  const { log, loaded } = context;
  const setting = loaded.config.evaluate.decision_threshold;
  if (setting !== 'best_f1_on_valid') return setting;
  const { labels, probabilities } = await score(context, 'valid', DEFAULT_THRESHOLD);
  const threshold = bestF1Threshold(new Scores({ labels, probabilities, threshold: DEFAULT_THRESHOLD }));
  if (threshold === undefined) {
    log.note('warning', 'decision_threshold', {
      threshold: float(DEFAULT_THRESHOLD),
      reason: 'no positive pair in the valid split',
    });
    return DEFAULT_THRESHOLD;
  }
  log.note('info', 'decision_threshold', { threshold: float(threshold), reason: 'best F1 on the valid split' });
  return threshold;
}
