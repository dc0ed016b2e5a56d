/** Runs that are killed and continued, compared byte for byte with one that was left alone. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'csv-parse/sync';
import { stringify } from 'yaml';
import { Project, pairLines, tinyConfig } from '../e2e/project.ts';

const DYING_RUN = fileURLToPath(new URL('./dying-run.ts', import.meta.url));
const DROP = 0.2;

/** Everything that has a state: dropout, OneCycle, mining, unfreezing, early stopping, one checkpoint an epoch. */
export function eventfulProject(engine: string): Project {
  const project = new Project();
  const config = tinyConfig() as Record<string, Record<string, unknown>>;
  config.run_config.save_best_only = false;
  config.device_config = { ...config.device_config, engine, threads: 2 };
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
  project.write('pairs/train.txt', pairLines(36));
  return project;
}

interface Ended {
  readonly signal: NodeJS.Signals | null;
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param dieAt the file system call at which the process dies; 0 to let it live. */
export function runUntil(project: Project, dieAt: number, ...set: string[]): Promise<Ended> {
  const args = ['--import', import.meta.resolve('tsx'), DYING_RUN, String(dieAt), ...set];
  const child = spawn(process.execPath, args, { cwd: project.dir, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  return new Promise((resolve) => child.on('close', (status, signal) => resolve({ status, signal, stdout, stderr })));
}

/** @returns how many file system calls it made. @throws Error with what it printed when it failed */
export async function runToEnd(project: Project, ...set: string[]): Promise<number> {
  const { status, stdout, stderr } = await runUntil(project, 0, ...set);
  if (status !== 0) throw new Error(`the run ended with status ${status}: ${stderr}`);
  return Number(stdout);
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

/** Every file of the run but for its text logs, which tell of the kills. */
function artifacts(project: Project): string[] {
  return ['logs', 'models'].flatMap((top) =>
    readdirSync(project.path(top), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name !== 'log.log')
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
  /** File system calls at which a process of the run died, in turn; each process counts anew. */
  readonly kills: readonly number[];
  readonly every: string;
  readonly differences: readonly string[];
}

const EVERY = ['1 step', '3 steps', '1 epoch', '10 minutes'];
const settingOf = (every: string) => `run_config.checkpoint_every=${every}`;

/** A run that is left alone, and how many file system calls one takes by its setting of `checkpoint_every`. */
export interface WholeRun {
  readonly engine: string;
  readonly project: Project;
  readonly calls: Map<string, number>;
}

export async function wholeRun(engine: string): Promise<WholeRun> {
  const project = eventfulProject(engine);
  return { engine, project, calls: new Map([[EVERY[0], await runToEnd(project, settingOf(EVERY[0]))]]) };
}

async function callsOf({ engine, calls }: WholeRun, every: string): Promise<number> {
  const known = calls.get(every);
  if (known !== undefined) return known;
  const project = eventfulProject(engine);
  try {
    const count = await runToEnd(project, settingOf(every));
    calls.set(every, count);
    return count;
  } finally {
    project.remove();
  }
}

/** Kills one run up to `kills` times, at calls that `random` (as Math.random) chooses, and continues it each time. */
export async function killAndContinue(whole: WholeRun, kills: number, random: () => number): Promise<Trial> {
  const every = EVERY[Math.floor(random() * EVERY.length)];
  const project = eventfulProject(whole.engine);
  const done: number[] = [];
  try {
    const calls = await callsOf(whole, every);
    while (done.length < kills) {
      const at = 1 + Math.floor(random() * calls);
      const { signal, status, stderr } = await runUntil(project, at, settingOf(every));
      if (signal !== 'SIGKILL' && status !== 0) throw new Error(`the run ended with status ${status}: ${stderr}`);
      if (signal !== 'SIGKILL') break;
      done.push(at);
    }
    await runToEnd(project, settingOf(every));
    return { kills: done, every, differences: differences(whole.project, project) };
  } catch (error) {
    return { kills: done, every, differences: [(error as Error).message] };
  } finally {
    project.remove();
  }
}
