/** Runs that are killed and continued, compared byte for byte with one that was left alone. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'csv-parse/sync';
import { stringify } from 'yaml';
import { EXIT } from '../../src/errors.ts';
import { rankLines, startLines } from '../distributed/start-ranks.ts';
import { Project, pairLines, tinyConfig } from '../e2e/project.ts';

const DYING_RUN = fileURLToPath(new URL('./dying-run.ts', import.meta.url));
const DROP = 0.2;

/**
 * Everything that has a state: dropout, OneCycle, mining, unfreezing, early stopping, one checkpoint an epoch.
 * @param ranks that run it; as many steps whatever their number.
 */
export function eventfulProject(engine: string, ranks = 1): Project {
  const project = new Project();
  const config = tinyConfig() as Record<string, Record<string, unknown>>;
  config.run_config.save_best_only = false;
  config.device_config = {
    ...config.device_config,
    engine,
    ...(ranks > 1 ? { ddp_enabled: true, threads: 1 } : { threads: 2 }),
  };
  const dataloader = config.data_config.dataloader as Record<string, unknown>;
  dataloader.sampling = { strategy: 'ohem', keep_ratio: 0.6, min_keep: 2, warmup_epochs: 1 };
  const head = config.model_config.mlp_head as Record<string, unknown>;
  config.model_config.mlp_head = { ...head, dropout: DROP, norm: 'batchnorm' };
  config.model_config.regularization = { dropout: DROP, token_dropout: DROP, stochastic_depth: DROP };
  Object.assign(config.training_config, {
    epochs: 3,
    early_stopping_patience: 2,
    scheduler: { type: 'onecycle', max_lr: 0.01, pct_start: 0.4 },
    strategy: { type: 'staged_unfreeze', unfreeze_epoch: 1, initial_trainable_prefixes: ['output_head'] },
  });
  project.write('config.yaml', stringify(config));
  project.write('pairs/train.txt', pairLines(36 * ranks));
  return project;
}

/** Where a rank of a run dies: rank 0, which alone writes, at a file system call, another one at a step; at 0 none does. */
interface Death {
  readonly rank: number;
  readonly at: number;
}

const NONE: Death = { rank: 0, at: 0 };

interface Ended {
  /** Whether the rank that was to die did. */
  readonly killed: boolean;
  /** Of each rank that was not to; every one, where none did. */
  readonly statuses: readonly (number | NodeJS.Signals | null)[];
  /** Of each rank that came to its end: its file system calls or steps. */
  readonly counts: readonly number[];
  readonly stderr: string;
}

/** Starts the ranks of a run; torchrun's variables tell them who they are, where they are several. */
async function runUntil(project: Project, ranks: number, death: Death, ...set: string[]): Promise<Ended> {
  const args = ['--import', import.meta.resolve('tsx'), DYING_RUN, String(death.rank), String(death.at), ...set];
  const alone = [{ program: process.execPath, args, environment: {} }];
  const lines = ranks === 1 ? alone : await rankLines('env', ranks, process.execPath, args);
  const { children, ended } = startLines(project.dir, lines);
  const all = await ended;
  const killed = children[death.rank].signalCode === 'SIGKILL';
  return {
    killed,
    statuses: all
      .map(({ status }, rank) => status ?? children[rank].signalCode)
      .filter((_, rank) => !killed || rank !== death.rank),
    counts: all.map(({ stdout }) => Number(stdout)),
    stderr: all.map(({ stderr }) => stderr).join('\n'),
  };
}

/** @returns how many file system calls or steps each rank made. @throws Error with what they printed when one failed */
async function runToEnd(project: Project, ranks: number, ...set: string[]): Promise<readonly number[]> {
  const ended = await runUntil(project, ranks, NONE, ...set);
  assertStatus(ended, EXIT.ok);
  return ended.counts;
}

/** @throws Error with what the ranks printed */
function assertStatus({ statuses, stderr }: Ended, expected: number): void {
  if (statuses.some((status) => status !== expected)) {
    throw new Error(`ranks ended with status ${statuses.join(', ')}, not ${expected}: ${stderr}`);
  }
}

/** What differs between the files of two finished runs, in words; times may. Empty when nothing does. */
export function differences(whole: Project, continued: Project): string[] {
  const files = new Set([...artifacts(whole), ...artifacts(continued)]);
  return [...files].sort().flatMap((name) => {
    const paths = [whole.path(name), continued.path(name)];
    if (!paths.every((path) => existsSync(path))) return [`${name} is in one run only`];
    const [expected, received] = paths.map((path) => comparable(path));
    return expected === received ? [] : [`${name} differs${firstDifference(expected, received)}`];
  });
}

/** Every file of the run but for its text logs, and what survivors wrote, which tell of the kills. */
function artifacts(project: Project): string[] {
  return ['logs', 'models'].flatMap((top) =>
    readdirSync(project.path(top), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !/^(log\.log|rank\.\d+\.fail\.json)$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name).slice(project.dir.length + 1)),
  );
}

function comparable(path: string): string {
  if (path.endsWith('.csv')) return withoutTimes(path);
  if (path.endsWith('events.jsonl')) return heartbeats(path);
  if (path.endsWith('run.json')) return JSON.parse(readFileSync(path, 'utf8')).status;
  if (path.endsWith('training.json')) return stateOf(path);
  // It has the hash of training.json, which has a time in it.
  if (path.endsWith('manifest.json')) return '';
  return readFileSync(path).toString('latin1');
}

/** The lines of a CSV file, without the column of times. */
export function withoutTimes(path: string): string {
  const rows = parse(readFileSync(path)) as string[][];
  const time = rows[0].indexOf('Epoch Time');
  return rows.map((row) => row.filter((_, column) => column !== time).join()).join('\n');
}

/** Losses in full precision tell which pairs each step had; a step that was done twice must have had the same. */
function heartbeats(path: string): string {
  const seen = new Map<string, string>();
  for (const line of readFileSync(path, 'utf8').trimEnd().split('\n')) {
    const { event, epoch, step, running_train_loss: loss, lr } = JSON.parse(line);
    if (event !== 'heartbeat') continue;
    const key = `epoch ${epoch} step ${step}`;
    const value = `loss ${loss} lr ${lr}`;
    seen.set(key, seen.has(key) && seen.get(key) !== value ? `${seen.get(key)}, then ${value}` : value);
  }
  return Array.from(seen, ([key, value]) => `${key}: ${value}`).join('\n');
}

function stateOf(path: string): string {
  const { mark, state, csvRows } = JSON.parse(readFileSync(path, 'utf8'));
  return JSON.stringify({ mark, state: { ...state, seconds: 0 }, csvRows }, null, 1);
}

function firstDifference(expected: string, received: string): string {
  const [a, b] = [expected.split('\n'), received.split('\n')];
  const line = a.findIndex((text, i) => text !== b[i]);
  return line < 0 || a[line].length > 300 ? '' : `: expected ${a[line]}, received ${b[line]}`;
}

export interface Trial {
  /** Where processes of the run died, in turn, in words; each process counts anew. */
  readonly kills: readonly string[];
  readonly every: string;
  readonly differences: readonly string[];
}

const EVERY = ['1 step', '3 steps', '1 epoch', '10 minutes'];
const settingOf = (every: string) => `run_config.checkpoint_every=${every}`;

/** A run that is left alone, and how many calls or steps each rank makes in one by its setting of `checkpoint_every`. */
export interface WholeRun {
  readonly engine: string;
  readonly ranks: number;
  readonly project: Project;
  readonly counts: Map<string, readonly number[]>;
}

export async function wholeRun(engine: string, ranks = 1): Promise<WholeRun> {
  const project = eventfulProject(engine, ranks);
  const counts = new Map([[EVERY[0], await runToEnd(project, ranks, settingOf(EVERY[0]))]]);
  return { engine, ranks, project, counts };
}

async function countsOf({ engine, ranks, counts }: WholeRun, every: string): Promise<readonly number[]> {
  const known = counts.get(every);
  if (known !== undefined) return known;
  const project = eventfulProject(engine, ranks);
  try {
    const found = await runToEnd(project, ranks, settingOf(every));
    counts.set(every, found);
    return found;
  } finally {
    project.remove();
  }
}

/** Kills one run up to `kills` times, where `random` (as Math.random) chooses, and continues it each time. */
export async function killAndContinue(whole: WholeRun, kills: number, random: () => number): Promise<Trial> {
  const { engine, ranks } = whole;
  const every = EVERY[Math.floor(random() * EVERY.length)];
  const project = eventfulProject(engine, ranks);
  const done: string[] = [];
  try {
    const counts = await countsOf(whole, every);
    while (done.length < kills) {
      const rank = ranks === 1 ? 0 : Math.floor(random() * ranks);
      const at = 1 + Math.floor(random() * counts[rank]);
      const ended = await runUntil(project, ranks, { rank, at }, settingOf(every));
      assertStatus(ended, ended.killed ? EXIT.peerFailed : EXIT.ok);
      if (!ended.killed) break;
      done.push(rank === 0 ? `call ${at}` : `step ${at} of rank ${rank}`);
    }
    await runToEnd(project, ranks, settingOf(every));
    return { kills: done, every, differences: differences(whole.project, project) };
  } catch (error) {
    return { kills: done, every, differences: [(error as Error).message] };
  } finally {
    project.remove();
  }
}
