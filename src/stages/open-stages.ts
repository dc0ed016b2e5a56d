/** The selected stages with their open files, and the first records of their logs. */
import { join } from 'node:path';
import { CsvFile, type CsvTable, nullCsv } from '../artifacts/csv.ts';
import { ensureDirectory } from '../artifacts/files.ts';
import { openRankLog } from '../artifacts/rank-log.ts';
import { createStageDirectories } from '../artifacts/run-directory.ts';
import { StageLog } from '../artifacts/stage-log.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { Group } from '../distributed/group.ts';
import type { EngineInfo } from '../engine/engine.ts';
import { isFallback } from '../engine/select.ts';
import { readEnv } from '../env.ts';
import { type EventLog, nullLog } from '../log.ts';
import type { LoaderCounts } from './loaders.ts';
import { STAGES } from './registry.ts';
import type { StageName, StagePlace } from './stage.ts';

export interface OpenStage {
  readonly place: StagePlace;
  readonly log: EventLog;
  readonly csv: CsvTable;
  /** Rows that the CSV file had before the run. */
  readonly csvRows: number;
  readonly written: Set<string>;
}

export interface LogOptions {
  /** Takes each log line, line feed included; stderr unless given. */
  readonly log?: ((line: string) => void) | undefined;
  readonly now: () => Date;
}

/**
 * Directories, logs and CSV files of these stages: what cannot be written fails here, before hours of work.
 * @param csvRows of a run that is continued, by stage.
 */
export function openStages(
  { config, compat }: LoadedConfig,
  places: readonly StagePlace[],
  options: LogOptions,
  csvRows?: ReadonlyMap<StageName, number>,
): OpenStage[] {
  for (const place of places) {
    const { savesModel } = STAGES[place.stage];
    createStageDirectories(place, savesModel);
    if (!savesModel && compat.emptyEvaluateModelDirectory) ensureDirectory(place.modelDir);
  }
  const csvs = places.map(({ stage, logDir }) => {
    const { csvName, csvColumns } = STAGES[stage];
    return new CsvFile(join(logDir, csvName), csvColumns(config));
  });
  return places.map((place, i) => {
    const log = new StageLog({
      directory: place.logDir,
      model: config.model_config.model,
      stage: place.stage,
      runId: place.runId,
      rank: 0,
      noteLines: !compat.originalLogLinesOnly,
      now: options.now,
      ...(options.log === undefined ? {} : { output: options.log }),
    });
    const csv = csvs[i];
    return { place, log, csv, csvRows: csvRows?.get(place.stage) ?? csv.rows, written: new Set<string>() };
  });
}

/** The stages of a rank other than 0, which writes nothing but, where it is asked for, a log that nothing reads. */
export function silentStages(
  { config }: LoadedConfig,
  places: readonly StagePlace[],
  { rank }: Group,
  now: () => Date,
): OpenStage[] {
  const { rankLogDirectory: directory } = readEnv();
  const { model } = config.model_config;
  return places.map((place) => {
    const { stage, runId } = place;
    return {
      place,
      log: directory === null ? nullLog() : openRankLog({ directory, model, stage, runId, rank, now }),
      csv: nullCsv(join(place.logDir, STAGES[place.stage].csvName)),
      csvRows: 0,
      written: new Set(),
    };
  });
}

/** The first records of a stage's log. @param first whether no other stage of the run was announced: it warns for all. */
export function announce(
  { place, log, csv }: OpenStage,
  { config }: LoadedConfig,
  engine: EngineInfo,
  ranks: number,
  group: Group,
  first: boolean,
): void {
  const { device_config: device, run_config: run } = config;
  const { name, device: resolved, threads, precision, reason } = engine;
  log.note(first && isFallback(engine) ? 'warning' : 'info', 'engine_selected', {
    engine: name,
    device: resolved,
    threads,
    precision,
    // The level of the first record says it.
    reason: reason.replace(/^WARNING: /, ''),
  });
  log.event('pipeline_bootstrap', {
    ddp_enabled: device.ddp_enabled,
    is_distributed: ranks > 1,
    local_rank: group.localRank,
    log_dir: place.logDir,
    mode: run.mode,
    rank: group.rank,
    run_id: place.runId,
    seed: run.seed,
    stage: place.stage,
    world_size: ranks,
  });
  log.event('device_resolved', { requested_device: device.device, resolved_device: resolved });
  if (csv.torn !== undefined) log.note('warning', 'csv_torn_row', { path: csv.path, text: csv.torn });
  if (ranks > group.size) log.note('info', 'ranks_simulated', { ranks });
  else if (device.ddp_enabled && group.size === 1)
    log.note('warning', 'ddp_single_process', { reason: 'one process was launched' });
}

export function announceLoaders(log: EventLog, { train, valid, test }: LoaderCounts): void {
  log.event('dataloaders_ready', {
    test_batches: test.batches,
    test_samples: test.samples,
    train_batches: train.batches,
    train_samples: train.samples,
    valid_batches: valid.batches,
    valid_samples: valid.samples,
  });
}
