/** Finds the run that `--resume` continues, and refuses what would not continue it. Nothing is written here. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { readManifest, type StageManifest } from '../artifacts/manifest.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { RelicError } from '../errors.ts';
import { configuredRunId, placeOf } from './places.ts';
import { isRunningElsewhere } from './process-identity.ts';
import { MODE_STAGES } from './registry.ts';
import { settingsThatDiffer } from './resume-config.ts';
import type { StageName, StagePlace } from './stage.ts';

/** A run that an earlier process began. */
export interface EarlierRun {
  readonly startedAt: Date;
  /** Of the selected stages, in their order. */
  readonly places: ReadonlyMap<StageName, StagePlace>;
  /** Stages that are done. */
  readonly complete: ReadonlySet<StageName>;
  /** Rows that each stage's CSV file had before the run. */
  readonly csvRows: ReadonlyMap<StageName, number>;
}

export interface ResumeRequest {
  /** A directory of the run, or `auto` for the newest run of these settings. */
  readonly from: string;
  /** The run id of stages to which the config gives none. */
  readonly runId?: string | undefined;
  readonly ranks: number;
}

/**
 * @returns undefined when `auto` finds no run.
 * @throws RELIC_CONFIG_INVALID naming every setting that changed; RELIC_USAGE for a path that is no run's, and for a run
 *   that another process works on.
 */
export function findRun(loaded: LoadedConfig, request: ResumeRequest): EarlierRun | undefined {
  const { config } = loaded;
  const found = request.from === 'auto' ? newestRun(config, request) : runAt(request.from, config);
  if (found === undefined) return undefined;
  const { logDir, manifest } = found;
  assertSameSettings(logDir, manifest, config, request.ranks);

  const places = new Map<StageName, StagePlace>();
  const complete = new Set<StageName>();
  const csvRows = new Map<StageName, number>();
  for (const stage of MODE_STAGES[config.run_config.mode]) {
    const place = placeOf(config.model_config.model, stage, manifest.run.stages[stage] ?? '');
    const own = readManifest(place.logDir);
    // Stages run one after another, so what comes after one that is not done waits for it.
    const isNext = complete.size === places.size;
    places.set(stage, place);
    csvRows.set(stage, own?.run.csvRows ?? 0);
    if (isNext && own?.status === 'complete') complete.add(stage);
    else if (isNext && own !== undefined) assertNotRunning(place.logDir, own);
  }
  return { startedAt: manifest.run.startedAt, places, complete, csvRows };
}

interface Found {
  readonly logDir: string;
  readonly manifest: StageManifest;
}

/** The run in the directory that the config or the request names, or else the newest one of these settings. */
function newestRun(config: Config, { runId, ranks }: ResumeRequest): Found | undefined {
  const [first] = MODE_STAGES[config.run_config.mode];
  const model = config.model_config.model;
  const id = configuredRunId(config, first) ?? runId;
  if (id !== undefined) {
    const { logDir } = placeOf(model, first, id);
    const manifest = readManifest(logDir);
    return manifest && { logDir, manifest };
  }
  const directory = dirname(placeOf(model, first, 'any').logDir);
  const runs = (existsSync(directory) ? readdirSync(directory) : []).flatMap((name): Found[] => {
    const logDir = join(directory, name);
    const manifest = readManifest(logDir);
    return manifest === undefined || differences(manifest, config, ranks).length > 0 ? [] : [{ logDir, manifest }];
  });
  const time = ({ manifest }: Found) => manifest.run.startedAt.getTime();
  return runs.sort((a, b) => time(b) - time(a))[0];
}

/** @param path a directory of any stage: below `logs/` or `models/`, or its `last/`. */
function runAt(path: string, config: Config): Found {
  const [top, model, stage, runId] = relative(process.cwd(), path).split(sep);
  const stages = MODE_STAGES[config.run_config.mode];
  const named = stages.find((name) => name === stage);
  const inPlace = ['logs', 'models'].includes(top) && model === config.model_config.model && runId !== undefined;
  const wrong = (received: string) =>
    new RelicError('RELIC_USAGE', '--resume', {
      expected: `auto, or a directory of a run: models/${config.model_config.model}/STAGE/RUN_ID or logs/..., the stage one of ${stages.join(', ')}`,
      received,
      fix: 'a run is continued in its own directory: start in the directory that has its logs/ and models/',
    });
  if (!inPlace || named === undefined) throw wrong(path);
  const { logDir } = placeOf(model, named, runId);
  const manifest = readManifest(logDir);
  if (manifest === undefined) throw wrong(`${path}, but ${logDir} has no run.json of a run that can be continued`);
  return { logDir, manifest };
}

function differences({ config: saved, run }: StageManifest, config: Config, ranks: number) {
  const ids = MODE_STAGES[config.run_config.mode].flatMap((stage) => {
    const [was, is] = [run.stages[stage], configuredRunId(config, stage)];
    return is === null || is === was ? [] : [{ where: `run id of ${stage}`, message: `was ${was}, is ${is}` }];
  });
  const rank = run.ranks === ranks ? [] : [{ where: 'ranks', message: `was ${run.ranks}, is ${ranks}` }];
  return [...settingsThatDiffer(saved, config), ...ids, ...rank];
}

function assertSameSettings(logDir: string, manifest: StageManifest, config: Config, ranks: number): void {
  const problems = differences(manifest, config, ranks);
  if (problems.length === 0) return;
  throw new RelicError('RELIC_CONFIG_INVALID', 'the run cannot be continued with other settings', {
    where: logDir,
    problems,
    fix: 'bring the settings back, choose another run id for a run of its own, or start anew there without --resume',
  });
}

function assertNotRunning(logDir: string, { status, run }: StageManifest): void {
  if (!['waiting', 'running'].includes(status) || !isRunningElsewhere(run.process)) return;
  throw new RelicError('RELIC_USAGE', 'another process works on this run', {
    where: logDir,
    received: `process ${run.process.pid} on ${run.process.host}, status ${status}`,
    fix: 'wait for it or stop it',
  });
}
