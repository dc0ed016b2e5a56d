/** Runs the stages of a config: which, in which order, with which files (contract 1.3). */
import { join } from 'node:path';
import { writeConsole } from '../artifacts/console.ts';
import { BEST_CHECKPOINT, quarantineStale, setAsideLast } from '../artifacts/run-directory.ts';
import type { LoadedConfig } from '../config/load.ts';
import { barrier, fromFirst, isFirst } from '../distributed/group.ts';
import { JOIN_NOBODY, type Join, type Joined } from '../distributed/joined.ts';
import type { Engine, EngineInfo, EngineModel } from '../engine/engine.ts';
import { isFallback, selectEngine } from '../engine/select.ts';
import { consoleLog } from '../log.ts';
import { type Program, parameterCount } from '../model/program.ts';
import { TorchGenerator } from '../random/torch-generator.ts';
import { initialState } from '../train/initial-state.ts';
import { throwIfInterrupted, unlessInterrupted } from '../train/interruption.ts';
import { dataHash } from './data-hash.ts';
import { createLoaders } from './loaders.ts';
import { announce, announceLoaders, type OpenStage, openStages, silentStages } from './open-stages.ts';
import { stagePlaces, timestamp } from './places.ts';
import { checkedProgram, effectiveRanks, refuseSeveralProcesses } from './preflight.ts';
import { STAGES } from './registry.ts';
import { findRun } from './resume.ts';
import { settingsHash } from './resume-config.ts';
import { Session } from './session.ts';
import type { Progress, Run, StageName, StagePlace, StageResult } from './stage.ts';
import {
  assertSameData,
  codeOf,
  collectiveShare,
  isOnAllRanks,
  joinRequest,
  prepareTogether,
  takeUpTogether,
} from './together.ts';

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
  /** Finds the other processes of the run; this one is alone unless given. */
  readonly join?: Join | undefined;
  /** The clock of log lines and run ids. */
  readonly now?: () => Date;
}

export interface PipelineResult {
  readonly engine: EngineInfo;
  /** In the order in which they ran, in this process or an earlier one. */
  readonly stages: readonly StageResult[];
}

/**
 * Trains and evaluates as the config says. Paths are relative to the working directory. In a run of several processes each
 * calls this; the first of them alone writes.
 *
 * @throws RelicError for everything a user can cause; the failing stage's log and manifest then say so.
 */
export async function runPipeline(loaded: LoadedConfig, options: PipelineOptions = {}): Promise<PipelineResult> {
  if (options.join === undefined) refuseSeveralProcesses();
  const program = checkedProgram(loaded);
  const { localRank, localSize, join } = options.join ?? JOIN_NOBODY;
  const engine = await selectEngine({ ...loaded.config.device_config, localRank, localRanks: localSize });
  const joined = await unlessInterrupted(join(joinRequest(loaded, engine)), options.signal);
  try {
    const result = await runStages({ loaded, program, engine, joined }, options);
    await endTogether(joined);
    return result;
  } catch (error) {
    if (isOnAllRanks(error)) await endTogether(joined);
    else await joined.fail(codeOf(error), error instanceof Error ? error.message : String(error));
    throw error;
  }
}

/** No rank goes before all have written what they have to: launchers kill the others when one ends with a failure. */
async function endTogether(joined: Joined): Promise<void> {
  await barrier(joined.group, 'end');
  await joined.leave();
}

interface Prepared {
  readonly loaded: LoadedConfig;
  readonly program: Program;
  readonly engine: Engine;
  readonly joined: Joined;
}

async function runStages(
  { loaded, program, engine, joined }: Prepared,
  options: PipelineOptions,
): Promise<PipelineResult> {
  const { group } = joined;
  const first = isFirst(group);
  const now = options.now ?? (() => new Date());
  const ranks = group.size > 1 ? group.size : effectiveRanks(loaded, options.simulatedRanks);
  const { resume: from, runId } = options;
  // Clocks and directories of other nodes may differ: the first rank decides which run this is.
  const { earlier, startedAt, places } = await fromFirst(group, 'run', () => {
    const earlier = from === undefined ? undefined : findRun(loaded, { from, runId, ranks });
    const startedAt = now();
    return { earlier, startedAt, places: earlier?.places ?? stagePlaces(loaded.config, runId ?? timestamp(startedAt)) };
  });
  const left = Array.from(places.values()).filter(({ stage }) => !earlier?.complete.has(stage));
  const results = Array.from(earlier?.complete ?? [], (stage) => resultOf(stage, loaded, places));
  if (left.length === 0) {
    if (first) tellComplete(results, options);
    return { engine: engine.info, stages: results };
  }

  const stages = first
    ? openStages(loaded, left, { log: options.log, now }, earlier?.csvRows)
    : silentStages(loaded, left, group, now);
  joined.watch(left[0].logDir);
  const runStartedAt = earlier?.startedAt ?? startedAt;
  let model: EngineModel | undefined;
  const environment = () => ({ ...joined.description, ...collectiveShare(model, startedAt, now()) });
  const facts = { loaded, engine: engine.info, ranks, places, runStartedAt, now };
  const session = new Session({ ...facts, writes: first, environment });
  let current = stages[0];
  try {
    const { log } = current;
    if (first && earlier === undefined) beginAnew(stages, session);
    else for (const stage of stages) session.wait(stage);
    for (const stage of stages) announce(stage, loaded, engine.info, ranks, group, stage === stages[0]);
    if (joined.description !== undefined) log.note('info', 'ranks_joined', joined.description);
    if (first && loaded.compat.originalLogLinesOnly && isFallback(engine.info)) {
      // RELIC's log has no such line, and a run that takes many times as long must not go unsaid.
      consoleLog({ stream: { write: options.log ?? writeConsole } }).warn(engine.info.reason.replace('WARNING: ', ''));
    }
    if (from !== undefined && earlier === undefined) {
      log.note('info', 'nothing_to_resume', { reason: 'no run with these settings and ids was begun here' });
    }
    for (const { where, message } of loaded.warnings) log.note('warning', 'config_warning', { where, message });

    const { dataset, store } = await prepareTogether(group, loaded, log);
    try {
      throwIfInterrupted(group.size === 1 ? options.signal : undefined);
      const generator = new TorchGenerator(loaded.config.run_config.seed);
      model = engine.createModel(program, store, joined.ranks);
      try {
        model.load(initialState(program, generator));
        const loaders = createLoaders(dataset, loaded.config, ranks, generator, store, group);
        for (const { log } of stages) announceLoaders(log, loaders.counts);
        log.event('model_initialized', { model_name: program.name, parameter_count: parameterCount(program) });
        for (const { log } of stages) log.event('ddp_wrap_complete', { model_wrapped: ranks > 1 });

        const { onProgress, signal } = options;
        const mark = { settingsHash: settingsHash(loaded.config), dataHash: dataHash(dataset, store) };
        await assertSameData(group, mark.dataHash);
        const run: Run = {
          loaded,
          engine: engine.info,
          model,
          loaders,
          ranks,
          group,
          places,
          mark,
          onProgress,
          signal,
        };
        let last = earlier && (await takeUpTogether(stages, earlier, run));
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
