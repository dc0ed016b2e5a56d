/** Runs the stages of a config: which, in which order, with which files (contract 1.3). */
import { join } from 'node:path';
import { writeConsole } from '../artifacts/console.ts';
import { BEST_CHECKPOINT, quarantineStale, setAsideLast } from '../artifacts/run-directory.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { EngineInfo } from '../engine/engine.ts';
import { isFallback, selectEngine } from '../engine/select.ts';
import { consoleLog } from '../log.ts';
import { parameterCount } from '../model/program.ts';
import { TorchGenerator } from '../random/torch-generator.ts';
import { initialState } from '../train/initial-state.ts';
import { throwIfInterrupted } from '../train/interruption.ts';
import { dataHash } from './data-hash.ts';
import type { LastCheckpoint } from './last-checkpoint.ts';
import { createLoaders } from './loaders.ts';
import { announce, announceLoaders, type OpenStage, openStages } from './open-stages.ts';
import { stagePlaces, timestamp } from './places.ts';
import { checkedProgram, effectiveRanks, refuseSeveralProcesses } from './preflight.ts';
import { prepareData } from './prepare.ts';
import { STAGES } from './registry.ts';
import { findRun } from './resume.ts';
import { settingsHash } from './resume-config.ts';
import { Session } from './session.ts';
import type { Progress, Run, StageName, StagePlace, StageResult } from './stage.ts';
import { takeUp } from './take-up.ts';

export interface PipelineOptions {
  /** Ranks to simulate in this process where `device_config.ddp_enabled` is true; 1 unless given. */
  readonly simulatedRanks?: number | undefined;
  /** Called at every step. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Stops the run between two steps; its reason is thrown where that is a RelicError. */
  readonly signal?: AbortSignal | undefined;
  /** Takes each log line, line feed included; stderr unless given. */
  readonly log?: ((line: string) => void) | undefined;
  /**
   * Continues a run: that of a directory, or with `auto` the newest one with these settings. A run that is complete is
   * left as it is; where `auto` finds none, one starts.
   */
  readonly resume?: string | undefined;
  /** The run id of stages to which the config gives none; made from the clock unless given. */
  readonly runId?: string | undefined;
  /** The clock of log lines and run ids. */
  readonly now?: () => Date;
}

export interface PipelineResult {
  readonly engine: EngineInfo;
  /** In the order in which they ran, in this process or an earlier one. */
  readonly stages: readonly StageResult[];
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
  const { resume: from, runId } = options;
  const earlier = from === undefined ? undefined : findRun(loaded, { from, runId, ranks });
  const startedAt = now();
  const places = earlier?.places ?? stagePlaces(loaded.config, runId ?? timestamp(startedAt));
  const left = Array.from(places.values()).filter(({ stage }) => !earlier?.complete.has(stage));
  const results = Array.from(earlier?.complete ?? [], (stage) => resultOf(stage, loaded, places));
  if (left.length === 0) {
    tellComplete(results, options);
    return { engine: engine.info, stages: results };
  }

  const stages = openStages(loaded, left, { log: options.log, now }, earlier?.csvRows);
  const runStartedAt = earlier?.startedAt ?? startedAt;
  const session = new Session({ loaded, engine: engine.info, ranks, places, runStartedAt, now });
  let current = stages[0];
  try {
    const first = current.log;
    if (earlier === undefined) beginAnew(stages, session);
    else for (const stage of stages) session.wait(stage);
    for (const stage of stages) announce(stage, loaded, engine.info, ranks, stage === stages[0]);
    if (loaded.compat.originalLogLinesOnly && isFallback(engine.info)) {
      // RELIC's log has no such line, and a run that takes many times as long must not go unsaid.
      consoleLog({ stream: { write: options.log ?? writeConsole } }).warn(engine.info.reason.replace('WARNING: ', ''));
    }
    if (from !== undefined && earlier === undefined) {
      first.note('info', 'nothing_to_resume', { reason: 'no run with these settings and ids was begun here' });
    }
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
        const mark = { settingsHash: settingsHash(loaded.config), dataHash: dataHash(dataset, store) };
        const run: Run = { loaded, engine: engine.info, model, loaders, ranks, places, mark, onProgress, signal };
        let last: LastCheckpoint | undefined = earlier && takeUp(stages, earlier, run);
        for (const stage of stages) {
          current = stage;
          session.begin(stage);
          results.push(await STAGES[stage.place.stage].run({ ...run, ...stage, last }));
          session.end(stage, 'complete');
          last = undefined;
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

/**
 * Takes away what would speak for an earlier run of the same ids. From the last stage to the first: wherever this is
 * cut short, what is left is a run that can be continued.
 */
function beginAnew(stages: readonly OpenStage[], session: Session): void {
  for (const stage of stages.toReversed()) {
    const { modelDir, stage: name } = stage.place;
    if (STAGES[name].savesModel) {
      setAsideLast(modelDir);
      const previous = quarantineStale(modelDir);
      if (previous !== undefined) stage.log.note('warning', 'stale_checkpoint_moved', { path: previous });
    }
    session.wait(stage);
  }
}

/** Of a stage that an earlier process finished. */
function resultOf(stage: StageName, { config }: LoadedConfig, places: ReadonlyMap<StageName, StagePlace>): StageResult {
  const place = places.get(stage)!;
  const trained = STAGES[stage].savesModel ? place : places.get('finetune');
  const checkpointPath =
    trained === undefined ? (config.run_config.load_checkpoint_path ?? '') : join(trained.modelDir, BEST_CHECKPOINT);
  return { ...place, csvPath: join(place.logDir, STAGES[stage].csvName), checkpointPath };
}

/** On the console: the logs of a complete run are closed and described in its manifests. */
function tellComplete(results: readonly StageResult[], { log = writeConsole }: PipelineOptions): void {
  const directories = results.map(({ logDir }) => logDir).join(', ');
  consoleLog({ stream: { write: log } }).info(`the run is complete, nothing is left to resume: ${directories}`);
}
