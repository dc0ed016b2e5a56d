/** `run.json`: what is needed to say later how a stage's files came about, and whether they are still the same. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeFile } from './file-facts.ts';
import { ioError, writeFileAtomic } from './files.ts';

export const MANIFEST_FILE = 'run.json';

export type StageStatus = 'waiting' | 'running' | 'complete' | 'failed' | 'interrupted';

/** The run a stage is a part of: what continuing it needs to know. */
export interface RunIdentity {
  /** Run id by selected stage, in their order. */
  readonly stages: Readonly<Record<string, string>>;
  readonly ranks: number;
  /** When the run began, however often it was continued since. */
  readonly startedAt: Date;
  /** Rows that the stage's CSV file had before the run. */
  readonly csvRows: number;
  readonly process: ProcessIdentity;
}

/** A process, told apart from a later one with the same number. */
export interface ProcessIdentity {
  readonly host: string;
  readonly pid: number;
  /** When it started, in the system's own terms; empty where the system does not tell. */
  readonly started: string;
}

export interface RunFacts {
  /** How far the stage is, or how it ended. */
  readonly status: StageStatus;
  readonly package: { readonly name: string; readonly version: string };
  readonly engine: {
    readonly name: string;
    /** Why this engine was chosen. */
    readonly reason: string;
    readonly device: string;
  };
  readonly seed: number;
  readonly configHash: string;
  /** The resolved config, as plain data. */
  readonly config: unknown;
  readonly startedAt: Date;
  /** Undefined before the end. */
  readonly endedAt?: Date | undefined;
  readonly run?: RunIdentity | undefined;
  /** Paths of the files the stage wrote; they are read here for their size and SHA-256. */
  readonly files: readonly string[];
  /** Whatever else explains the numbers: instruction set, BLAS, threads. */
  readonly environment?: Readonly<Record<string, string | number | boolean>>;
}

/** Writes `run.json` into `logDir`, whole or not at all, and returns its path. Throws as writeFileAtomic does. */
export function writeManifest(logDir: string, facts: RunFacts): string {
  const path = join(logDir, MANIFEST_FILE);
  const manifest = {
    schema_version: 1,
    status: facts.status,
    package: facts.package,
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    engine: facts.engine,
    environment: facts.environment ?? {},
    seed: facts.seed,
    started_at: facts.startedAt.toISOString(),
    ended_at: facts.endedAt?.toISOString() ?? null,
    ...(facts.run === undefined ? {} : { run: describeRun(facts.run) }),
    config_hash: facts.configHash,
    config: facts.config,
    files: facts.files.map(describeFile),
  };
  writeFileAtomic(path, `${JSON.stringify(manifest, null, 2)}\n`);
  return path;
}

function describeRun({ stages, ranks, startedAt, csvRows, process: { host, pid, started } }: RunIdentity) {
  return { stages, ranks, started_at: startedAt.toISOString(), csv_rows: csvRows, process: { host, pid, started } };
}

/** A stage's manifest, as far as continuing its run needs it. */
export interface StageManifest {
  readonly status: StageStatus;
  /** As it was written; an older version may lack keys. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly run: RunIdentity;
}

/** The manifest in `logDir`; undefined when there is none that tells of a run. Throws RELIC_IO. */
export function readManifest(logDir: string): StageManifest | undefined {
  const path = join(logDir, MANIFEST_FILE);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw ioError(error, path, 'read file');
  }
  try {
    const { status, config, run } = JSON.parse(text);
    const { stages, ranks, started_at: startedAt, csv_rows: csvRows, process } = run;
    return { status, config, run: { stages, ranks, startedAt: new Date(startedAt), csvRows, process } };
  } catch {
    // Of a version that could not continue runs, or not ours.
    return undefined;
  }
}
