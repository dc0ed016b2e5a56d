/** Runs the stages of a config: which, in which order, with which files (contract 1.3). */
import { join } from 'node:path';
import { CsvFile } from '../artifacts/csv.ts';
import { ensureDirectory } from '../artifacts/files.ts';
import { type RunFacts, writeManifest } from '../artifacts/manifest.ts';
import { createStageDirectories } from '../artifacts/run-directory.ts';
import { StageLog } from '../artifacts/stage-log.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { EngineInfo } from '../engine/engine.ts';
import { isFallback, selectEngine } from '../engine/select.ts';
import { RelicError } from '../errors.ts';
import { parameterCount } from '../model/program.ts';
import { TorchGenerator } from '../random/torch-generator.ts';
import { initialState } from '../train/initial-state.ts';
import { isInterruption, throwIfInterrupted } from '../train/interruption.ts';
import { createLoaders, type LoaderCounts } from './loaders.ts';
import { packageFacts } from './package-facts.ts';
import { stagePlaces } from './places.ts';
import { checkedProgram, effectiveRanks, refuseSeveralProcesses } from './preflight.ts';
import { prepareData } from './prepare.ts';
import { STAGES } from './registry.ts';
import type { Progress, Run, StageName, StagePlace, StageResult } from './stage.ts';

export interface PipelineOptions {
  /** Ranks to simulate in this process where `device_config.ddp_enabled` is true; 1 unless given. */
  readonly simulatedRanks?: number | undefined;
  /** Called at every step. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Stops the run between two steps; its reason is thrown where that is a RelicError. */
  readonly signal?: AbortSignal | undefined;
  /** Takes each log line, line feed included; stderr unless given. */
  readonly log?: ((line: string) => void) | undefined;
  /** The clock of log lines and run ids. */
  readonly now?: () => Date;
}

export interface PipelineResult {
  readonly engine: EngineInfo;
  /** In the order in which they ran. */
  readonly stages: readonly StageResult[];
}

/** A selected stage with its open files. */
interface OpenStage {
  readonly place: StagePlace;
  readonly log: StageLog;
  readonly csv: CsvFile;
  readonly written: Set<string>;
}

/**
 * Trains and evaluates as the config says. Paths are relative to the working directory.
 *
 * @throws RelicError for everything a user can cause; the failing stage's log and manifest then say so.
 */
export async function runPipeline(loaded: LoadedConfig, options: PipelineOptions = {}): Promise<PipelineResult> {
  refuseSeveralProcesses();
  const now = options.now ?? (() => new Date());
  const program = checkedProgram(loaded);
  const engine = await selectEngine(loaded.config.device_config);
  const ranks = effectiveRanks(loaded, options.simulatedRanks);
  const places = stagePlaces(loaded.config, now());
  const stages = openStages(loaded, places, options, now);
  const session = new Session(loaded, engine.info, now);
  let current = stages[0];
  try {
    const first = current.log;
    for (const stage of stages) announce(stage, loaded, engine.info, ranks);
    for (const { where, message } of loaded.warnings) first.note('warning', 'config_warning', { where, message });

    const { dataset, store } = prepareData(loaded, first);
    try {
      throwIfInterrupted(options.signal);
      const generator = new TorchGenerator(loaded.config.run_config.seed);
      const model = engine.createModel(program, store);
      try {
        model.load(initialState(program, generator));
        const loaders = createLoaders(dataset, loaded.config, ranks, generator, (protein) => store.ids[protein]);
        for (const { log } of stages) announceLoaders(log, loaders.counts);
        first.event('model_initialized', { model_name: program.name, parameter_count: parameterCount(program) });
        for (const { log } of stages) log.event('ddp_wrap_complete', { model_wrapped: ranks > 1 });

        const { onProgress, signal } = options;
        const run: Run = { loaded, model, loaders, ranks, places, onProgress, signal };
        const results: StageResult[] = [];
        for (const stage of stages) {
          current = stage;
          session.begin();
          results.push(await STAGES[stage.place.stage].run({ ...run, ...stage }));
          session.end(stage, 'complete');
        }
        return { engine: engine.info, stages: results };
      } finally {
        model.dispose();
      }
    } finally {
      store.close();
    }
  } catch (error) {
    session.fail(current, error);
    throw error;
  } finally {
    for (const { log } of stages) log.close();
  }
}

/** Directories, logs and CSV files of every selected stage: what cannot be written fails here, before hours of work. */
function openStages(
  { config, compat }: LoadedConfig,
  places: ReadonlyMap<StageName, StagePlace>,
  options: PipelineOptions,
  now: () => Date,
): OpenStage[] {
  for (const place of places.values()) {
    const { savesModel } = STAGES[place.stage];
    createStageDirectories(place, savesModel);
    if (!savesModel && compat.emptyEvaluateModelDirectory) ensureDirectory(place.modelDir);
  }
  const csvs = Array.from(places.values(), ({ stage, logDir }) => {
    const { csvName, csvColumns } = STAGES[stage];
    return new CsvFile(join(logDir, csvName), csvColumns(config));
  });
  return Array.from(places.values(), (place, i) => {
    const log = new StageLog({
      directory: place.logDir,
      model: config.model_config.model,
      stage: place.stage,
      runId: place.runId,
      rank: 0,
      noteLines: !compat.originalLogLinesOnly,
      now,
      ...(options.log === undefined ? {} : { output: options.log }),
    });
    return { place, log, csv: csvs[i], written: new Set<string>() };
  });
}

/** The first records of a stage's log. */
function announce({ place, log, csv }: OpenStage, { config }: LoadedConfig, engine: EngineInfo, ranks: number): void {
  const { device_config: device, run_config: run } = config;
  const { name, device: resolved, threads, precision, reason } = engine;
  log.note(isFallback(engine) ? 'warning' : 'info', 'engine_selected', {
    engine: name,
    device: resolved,
    threads,
    precision,
    reason,
  });
  log.event('pipeline_bootstrap', {
    ddp_enabled: device.ddp_enabled,
    is_distributed: ranks > 1,
    local_rank: 0,
    log_dir: place.logDir,
    mode: run.mode,
    rank: 0,
    run_id: place.runId,
    seed: run.seed,
    stage: place.stage,
    world_size: ranks,
  });
  log.event('device_resolved', { requested_device: device.device, resolved_device: resolved });
  if (csv.torn !== undefined) log.note('warning', 'csv_torn_row', { path: csv.path, text: csv.torn });
  if (ranks > 1) log.note('info', 'ranks_simulated', { ranks });
  else if (device.ddp_enabled) log.note('warning', 'ddp_single_process', { reason: 'one process was launched' });
}

function announceLoaders(log: StageLog, { train, valid, test }: LoaderCounts): void {
  log.event('dataloaders_ready', {
    test_batches: test.batches,
    test_samples: test.samples,
    train_batches: train.batches,
    train_samples: train.samples,
    valid_batches: valid.batches,
    valid_samples: valid.samples,
  });
}

/** Ends stages: closes their logs, then writes manifests that describe the finished files. */
class Session {
  private readonly loaded: LoadedConfig;
  private readonly engine: EngineInfo;
  private readonly now: () => Date;
  private startedAt: Date;

  constructor(loaded: LoadedConfig, engine: EngineInfo, now: () => Date) {
    this.loaded = loaded;
    this.engine = engine;
    this.now = now;
    this.startedAt = now();
  }

  begin(): void {
    this.startedAt = this.now();
  }

  end({ place, log, written }: OpenStage, status: RunFacts['status']): void {
    log.close();
    const { name, reason, device, threads, isa, precision } = this.engine;
    const { config, hash } = this.loaded;
    writeManifest(place.logDir, {
      status,
      package: packageFacts(),
      engine: { name, reason, device },
      seed: config.run_config.seed,
      configHash: hash,
      config,
      startedAt: this.startedAt,
      endedAt: this.now(),
      files: [join(place.logDir, 'log.log'), join(place.logDir, 'events.jsonl'), ...written],
      environment: { threads, precision, ...(isa === undefined ? {} : { isa }) },
    });
  }

  /** Tells the failure where the stage's other records are. That must not hide the failure itself. */
  fail(stage: OpenStage, error: unknown): void {
    const interrupted = isInterruption(error);
    try {
      if (!interrupted) {
        stage.log.error('stage_failed', {
          code: error instanceof RelicError ? error.code : 'internal',
          message: error instanceof Error ? error.message : String(error),
          stage: stage.place.stage,
        });
      } else if (!STAGES[stage.place.stage].savesModel) stage.log.warning('interrupted', { stage: stage.place.stage });
      this.end(stage, interrupted ? 'interrupted' : 'failed');
    } catch {
      // The disk may be full, which is then the failure that is thrown.
    }
  }
}
