/**
 * A run of the tiny project seen from outside: the processes of its ranks, what they leave when they end, and what they
 * wrote. A process belongs to the run when its working directory is in the project's folder.
 */
import { readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, dirname, join, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as assert from 'uvu/assert';
import { backupPath, openCheckpointDirectory } from '../../src/artifacts/checkpoint/directory.ts';
import { readPth } from '../../src/artifacts/checkpoint/pth.ts';
import { readManifest } from '../../src/artifacts/manifest.ts';
import { LAST_CHECKPOINT } from '../../src/artifacts/run-directory.ts';
import { NODE_ARGS, type Project } from '../e2e/project.ts';
import { until } from './waiting.ts';

const CLI = NODE_ARGS[2];

/** Puts the program where scripts/v3.sh, npx and batch scripts look for it. @returns its path */
export function installProgram(project: Project): string {
  const [tsx, cli] = [import.meta.resolve('tsx/esm/api'), pathToFileURL(CLI).href].map((url) => JSON.stringify(url));
  const text = `#!${process.execPath}\nimport(${tsx}).then(({ register }) => (register(), import(${cli})));\n`;
  project.write('node_modules/.bin/relic-train', text, 0o755);
  return project.path('node_modules/.bin/relic-train');
}

export interface Seen {
  readonly pid: number;
  readonly command: string;
  /** Its launcher's number of this process; undefined where none started it. */
  readonly rank: number | undefined;
  readonly isNode: boolean;
}

/** Processes of the run that have not ended, launchers and their helpers included. */
export function processesOf(project: Project): Seen[] {
  const home = realpathSync(project.dir);
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const cwd = readlinkSync(`/proc/${name}/cwd`);
      if (cwd !== home && !cwd.startsWith(home + sep)) return [];
      return hasEnded(name) ? [] : [seen(Number(name))];
    } catch {
      // It ended while we looked, or is somebody else's.
      return [];
    }
  });
}

/** Whether it has not ended, as far as the system can tell. */
export function isRunning(pid: number): boolean {
  try {
    return !hasEnded(String(pid));
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT' && (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** A process whose parent has not asked for its status is there still, but runs no more. */
function hasEnded(pid: string): boolean {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return ['Z', 'X'].includes(stat.slice(stat.lastIndexOf(')') + 2)[0]);
}

function seen(pid: number): Seen {
  const words = (file: string) => readFileSync(`/proc/${pid}/${file}`, 'utf8').split('\0').filter(Boolean);
  const pairs = words('environ').map((each) => [each.slice(0, each.indexOf('=')), each.slice(each.indexOf('=') + 1)]);
  const isNode = basename(readlinkSync(`/proc/${pid}/exe`)) === basename(realpathSync(process.execPath));
  return { pid, command: words('cmdline').join(' '), rank: rankOf(Object.fromEntries(pairs)), isNode };
}

/** The launcher nearest to the process names it: mpirun in a job of Slurm inherits the job's variables. */
function rankOf(env: Readonly<Record<string, string>>): number | undefined {
  const step = env.SLURM_STEP_ID === undefined ? undefined : env.SLURM_PROCID;
  const told = env.RANK ?? env.OMPI_COMM_WORLD_RANK ?? env.PMI_RANK ?? step;
  return told === undefined ? undefined : Number(told);
}

/** The process of each rank, once all run. */
export async function waitForRanks(project: Project, size: number, deadlineMs = 60_000): Promise<Map<number, number>> {
  let ranks = new Map<number, number>();
  await until(
    () => `${size} ranks run; there are ${[...ranks.keys()]}`,
    deadlineMs,
    () => {
      const nodes = processesOf(project).filter(({ isNode }) => isNode);
      ranks = new Map(nodes.flatMap(({ rank, pid }) => (rank === undefined ? [] : [[rank, pid] as const])));
      return ranks.size === size;
    },
  );
  return ranks;
}

/** Waits until some line of a stage's log has this. */
export async function waitForLog(project: Project, stage: string, text: RegExp, deadlineMs = 90_000): Promise<void> {
  const read = () => filesBelow(project.path('logs')).filter((path) => path.includes(`${sep}${stage}${sep}`));
  const log = () => read().map((path) => (path.endsWith('events.jsonl') ? readFileSync(path, 'utf8') : ''));
  await until(
    () => `the log of ${stage} has ${text}: ${log().join('').slice(-2000)}`,
    deadlineMs,
    () => log().some((each) => text.test(each)),
  );
}

/** Nothing of the run lives on, whoever started it. */
export async function assertAllGone(project: Project, deadlineMs: number): Promise<void> {
  const alive = () => processesOf(project).map(({ pid, rank, command }) => `${pid} (rank ${rank}): ${command}`);
  await until(
    () => `every process of the run has ended; there are\n${alive().join('\n')}`,
    deadlineMs,
    () => processesOf(project).length === 0,
  );
}

/** What a rank tells of the end of its run in `rank.N.fail.json`. */
export interface RankFailure {
  /** Of the rank that failed, as the writer of the file saw it. */
  readonly rank: number;
  readonly host: string;
  readonly pid: number;
  readonly step: number;
  readonly what: string;
  readonly reason: string;
}

/** The failure files of a run, by the rank that wrote them. */
export function failures(project: Project): Map<number, RankFailure> {
  const files = filesBelow(project.dir).flatMap((path) => {
    const [, rank] = /^rank\.(\d+)\.fail\.json$/.exec(basename(path)) ?? [];
    return rank === undefined ? [] : [[Number(rank), JSON.parse(readFileSync(path, 'utf8'))] as const];
  });
  return new Map(files.sort(([a], [b]) => a - b));
}

/** Every one of `survivors` wrote which rank failed, where and how. */
export function assertNamed(
  project: Project,
  survivors: readonly number[],
  failed: { rank: number; pid?: number },
): void {
  const told = failures(project);
  for (const survivor of survivors) {
    const failure = told.get(survivor);
    assert.ok(failure, `rank ${survivor} wrote no failure file; those that did: ${[...told.keys()]}`);
    assert.is(failure.rank, failed.rank, `rank ${survivor} blames rank ${failure.rank}: ${JSON.stringify(failure)}`);
    if (failed.pid !== undefined) assert.is(failure.pid, failed.pid);
    for (const field of ['host', 'what', 'reason'] as const) assert.type(failure[field], 'string', field);
    assert.ok(Number.isInteger(failure.step), `step is ${failure.step}`);
  }
}

/**
 * What stands under a final name is whole, by the package's own readers: weights, `last/` with every hash, manifests,
 * and event logs of whole lines (a process that is killed may leave the last one short).
 */
export function assertWhole(project: Project): void {
  for (const path of filesBelow(project.dir)) {
    const hidden = path
      .slice(project.dir.length)
      .split(sep)
      .some((part) => part.startsWith('.'));
    if (hidden || path.includes(`${sep}node_modules${sep}`)) continue;
    if (path.endsWith('.pth')) assert.ok(readPth(path).tensors.size > 0, path);
    if (basename(path) === 'run.json') assert.ok(readManifest(join(path, '..')), `${path} cannot be read`);
    if (path.endsWith('events.jsonl')) {
      const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
      for (const line of lines) assert.type(JSON.parse(line), 'object');
    }
  }
  for (const last of lastCheckpoints(project)) assert.ok(openCheckpointDirectory(last), last);
}

/** Where every stage that has a checkpoint to go on from has it; a process killed at the wrong moment leaves the backup. */
export function lastCheckpoints(project: Project): string[] {
  const paths = filesBelow(project.path('models')).map((path) => dirname(path));
  const names = [LAST_CHECKPOINT, backupPath(LAST_CHECKPOINT)];
  const stages = paths.filter((path) => names.includes(basename(path))).map((path) => dirname(path));
  return [...new Set(stages)].map((stage) => join(stage, LAST_CHECKPOINT));
}

/** Temporary files: there must be none unless their writer was killed. */
export function temporaryFiles(project: Project): string[] {
  return project.made().filter((name) => /\.tmp(\/|$)/.test(name));
}

function filesBelow(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  } catch {
    return [];
  }
}
