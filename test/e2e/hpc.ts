/** The preset for clusters on all GPUs of this machine, or on ranks of its CPU, beside the one for a laptop: what they leave. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { startLines, torchrunVariables } from '../distributed/start-ranks.ts';
import { PRESET_SETTINGS, presetPath, presetProject } from './presets.ts';
import { NODE_ARGS, type Project } from './project.ts';

/** Ranks where there is no GPU. */
const CPU_RANKS = 2;
/** How ranks found each other and how long they waited for one another: one process has nothing of the kind. */
const OF_RANKS = { event: 'ranks_joined', field: 'collective_share' };
/** Whether an epoch has them depends on what was learned. */
const BY_RESULT = ['checkpoint_saved_best', 'early_stopping_triggered'];

/** @param compat a value of `run_config.compat`. @throws Error with what the run printed when it failed */
export async function hpcRun(compat: string): Promise<{ project: Project; how: string }> {
  const gpus = gpuCount();
  const ranks = gpus || CPU_RANKS;
  const device = gpus > 0 ? [] : ['device_config.device=cpu', 'device_config.use_mixed_precision=false'];
  const alone = ranks === 1 ? ['device_config.ddp_enabled=false'] : [];
  const project = await presetRun('v3_hpc', ranks, [`run_config.compat=${compat}`, ...device, ...alone]);
  return { project, how: `${ranks} rank(s) on ${gpus > 0 ? 'GPUs' : 'the CPU'}` };
}

export function localRun(compat: string): Promise<Project> {
  return presetRun('v3_local_cpu', 1, [`run_config.compat=${compat}`]);
}

async function presetRun(preset: string, ranks: number, settings: readonly string[]): Promise<Project> {
  const project = presetProject();
  const options = [...PRESET_SETTINGS, ...settings].flatMap((each) => ['--set', each]);
  const args = [...NODE_ARGS, '--config', presetPath(preset), ...options];
  const variables = ranks === 1 ? [{}] : await torchrunVariables(ranks);
  const lines = variables.map((told, rank) => {
    const local = ranks === 1 ? {} : { LOCAL_RANK: String(rank), LOCAL_WORLD_SIZE: String(ranks) };
    return { program: process.execPath, args, environment: { ...told, ...local } };
  });
  const all = await startLines(project.dir, lines).ended;
  if (all.every(({ status }) => status === 0)) return project;
  project.remove();
  throw new Error(`${preset} failed: ${all.map(({ status, stderr }) => `status ${status}: ${stderr}`).join('\n')}`);
}

function gpuCount(): number {
  try {
    const listed = execFileSync('nvidia-smi', ['-L'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return listed.split('\n').filter((line) => line.startsWith('GPU ')).length;
  } catch {
    return 0;
  }
}

/** What differs between two runs: file names, events in their order, fields, CSV headers. Values may. */
export function shapeDifferences(local: string, hpc: string): string[] {
  const [expected, received] = [shapes(local), shapes(hpc)];
  return [...new Set([...expected.keys(), ...received.keys()])].sort().flatMap((name) => {
    const [a, b] = [expected.get(name), received.get(name)];
    if (a === undefined || b === undefined)
      return [`${name} is in ${a === undefined ? 'the second' : 'the first'} only`];
    const at = a.findIndex((line, i) => line !== b[i]);
    if (at < 0 && a.length === b.length) return [];
    const i = at < 0 ? a.length : at;
    return [`${name}, record ${i + 1}: ${a[i] ?? 'no more'} in the first, ${b[i] ?? 'no more'} in the second`];
  });
}

/** Every file below logs/ and models/ with what must be equal of its content. */
function shapes(directory: string): Map<string, string[]> {
  const files = ['logs', 'models'].flatMap((top) =>
    readdirSync(join(directory, top), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  return new Map(files.map((path) => [path.slice(directory.length + 1), shapeOf(path)]));
}

function shapeOf(path: string): string[] {
  if (path.endsWith('.csv')) return readFileSync(path, 'utf8').split('\r\n').slice(0, 1);
  if (path.endsWith('.log')) return recordsOf(path, textRecord);
  return basename(path) === 'events.jsonl' ? recordsOf(path, jsonRecord) : [];
}

interface LogRecord {
  readonly level: string;
  readonly event: string;
  readonly fields: readonly string[];
}

function recordsOf(path: string, read: (line: string) => LogRecord): string[] {
  const seen = new Set<string>();
  const records = readFileSync(path, 'utf8').trimEnd().split('\n').map(read);
  const kept = records.filter(({ event }) => {
    if (event === OF_RANKS.event || (BY_RESULT.includes(event) && seen.has(event))) return false;
    return seen.add(event);
  });
  return kept.map(({ level, event, fields }) => {
    const names = fields.filter((field) => field !== OF_RANKS.field).sort();
    return `${level} ${event}: ${names.join(' ')}`;
  });
}

/** `2026-11-24 01:32:57 INFO relic.v3.pretrain.p.rank0 - name | a=1 | b=2` */
function textRecord(line: string): LogRecord {
  const [, level, body] = /^\S+ \S+ (\S+) \S+ - (.*)$/.exec(line) ?? [];
  const [event, ...fields] = (body ?? line).split(' | ');
  return { level, event: event.replace(/\d+/g, '#'), fields: fields.map((field) => field.replace(/=.*/, '')) };
}

function jsonRecord(line: string): LogRecord {
  const { level, event, ...fields } = JSON.parse(line);
  return { level, event, fields: Object.keys(fields) };
}
