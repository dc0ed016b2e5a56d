/**
 * Repeats a golden run of the original and compares: log lines, CSV files and weights. Times and dates are left out.
 * What is text must be equal, what is computed must be close, within the tolerances below.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readPth } from '../../src/artifacts/checkpoint/pth.ts';
import { toFloat32 } from '../../src/artifacts/checkpoint/tensors.ts';
import { pythonRepr } from '../../src/artifacts/csv.ts';
import { listEngines } from '../../src/engine/select.ts';
import { presentWays, rankLines, startLines, type WayName } from '../distributed/start-ranks.ts';

export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** How far apart, or what differs first. */
  readonly detail: string;
}

/** Losses, relative: PyTorch's own kernels differ from one another by 1e-7; Adam lets rounding grow over the epochs. */
const LOSS_FIRST_EPOCH = 1e-5;
const LOSS_LATER = 1e-4;
const LEARNING_RATE = 1e-12;
/** Absolute. Two pairs of nearly equal score may swap: that moves a ranking metric by a pair in n^2... */
const RANKING_METRIC = 1e-3;
/** ...and a pair at the threshold may be called the other way, which moves a counting metric by a pair in n. */
const COUNTING_METRIC = 0.02;
/** Absolute, on weights of size 0.1 that moved by some 1e-3. Adam's step does not shrink with the gradient. */
const WEIGHT = 5e-4;

const RANKING = ['auroc', 'auprc'];
const COUNTING = ['accuracy', 'sensitivity', 'specificity', 'precision', 'recall', 'f1', 'mcc'];

const RUN_HERE = fileURLToPath(new URL('./run-here.ts', import.meta.url));

/** How the ranks of a run come to be: `simulated` in one process, or as processes that something starts. */
export type Launch = 'simulated' | WayName;

/** What this machine has for an engine. The TypeScript engine trains alone, and ranks on GPUs need one each. */
export async function launchesHere(engine: string): Promise<Launch[]> {
  const native = (await listEngines()).some(({ name, available }) => name === 'native' && available);
  return ['simulated', ...(native && ['auto', 'native'].includes(engine) ? presentWays() : [])];
}

export const COMPAT = 'relic-5f23433';

/**
 * Runs the config of a golden run under `compat` in a process of its own, and compares what it leaves.
 *
 * @param goldenRun a folder with `config.yaml`, `logs/` and perhaps `models/` and `best_model.pth`.
 * @param options.pairsDir what the run sees as `pairs/`. @param options.workDir an empty folder, left behind.
 * @param options.engine a value of `device_config.engine`; `auto` unless given.
 * @param options.launch of a run of several ranks; `simulated` unless given.
 */
export async function runGolden(
  goldenRun: string,
  options: { readonly pairsDir: string; readonly workDir: string; readonly engine?: string; readonly launch?: Launch },
): Promise<{ readonly checks: readonly Check[]; readonly ranks: number }> {
  const { workDir, engine = 'auto', launch = 'simulated' } = options;
  mkdirSync(workDir, { recursive: true });
  cpSync(options.pairsDir, join(workDir, 'pairs'), { recursive: true });
  for (const name of ['config.yaml', 'best_model.pth']) {
    if (existsSync(join(goldenRun, name))) cpSync(join(goldenRun, name), join(workDir, name));
  }
  const ranks = ranksOf(goldenRun);
  const args = ['--import', import.meta.resolve('tsx'), RUN_HERE, String(ranks), engine, launch];
  const lines =
    ranks === 1 || launch === 'simulated'
      ? [{ program: process.execPath, args, environment: {} }]
      : await rankLines(launch, ranks, process.execPath, args);
  for (const { status, stderr } of await startLines(workDir, lines).ended) {
    if (status !== 0) return { checks: [{ name: 'the run', ok: false, detail: `exit ${status}: ${stderr}` }], ranks };
  }
  return { checks: compareRun(goldenRun, workDir).checks, ranks };
}

/** The config says only that a run is distributed; its logs say over how many ranks. */
export function ranksOf(goldenRun: string): number {
  const logs = readdirSync(join(goldenRun, 'logs'), { recursive: true }).map(String);
  const log = logs.find((name) => name.endsWith('log.log')) ?? '';
  return Number(/world_size=(\d+)/.exec(readFileSync(join(goldenRun, 'logs', log), 'utf8'))?.[1] ?? 1);
}

/** Compares every log, CSV file and checkpoint of the golden run with its counterpart below `producedDir`. */
export function compareRun(goldenDir: string, producedDir: string): { readonly checks: readonly Check[] } {
  const files = ['logs', 'models']
    .filter((top) => existsSync(join(goldenDir, top)))
    .flatMap((top) => readdirSync(join(goldenDir, top), { recursive: true }).map((name) => join(top, String(name))))
    .filter((path) => /\.(log|csv|pth)$/.test(path))
    .sort();
  const checks = files.flatMap((path): Check[] => {
    const [golden, produced] = [join(goldenDir, path), join(producedDir, path)];
    if (!existsSync(produced)) return [{ name: path, ok: false, detail: 'not written' }];
    const compare = path.endsWith('.log') ? compareLogs : path.endsWith('.csv') ? compareCsv : compareWeights;
    return compare(golden, produced).map((check) => ({ ...check, name: `${path}: ${check.name}` }));
  });
  return { checks };
}

/** Remembers the largest gap in units of its tolerance. */
class Gap {
  private worst = 0;
  private where = '';
  private readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  /** NaN against a number, or anything against NaN, is infinitely far. */
  add(expected: number, received: number, tolerance: number, where: string): void {
    const apart = Object.is(expected, received) ? 0 : Math.abs(expected - received) / tolerance;
    if (apart <= this.worst) return;
    this.worst = Number.isNaN(apart) ? Number.POSITIVE_INFINITY : apart;
    this.where = `${where}: expected ${expected}, received ${received}`;
  }

  check(): Check {
    const size = `${(100 * this.worst).toPrecision(3)} % of the tolerance`;
    return { name: this.name, ok: this.worst <= 1, detail: this.where === '' ? 'equal' : `${size} (${this.where})` };
  }
}

function textCheck(name: string, expected: readonly string[], received: readonly string[]): Check {
  const at = expected.findIndex((line, i) => line !== received[i]);
  if (at === -1 && expected.length === received.length) return { name, ok: true, detail: `${expected.length} equal` };
  const i = at === -1 ? expected.length : at;
  const detail = `line ${i + 1}: expected ${expected[i] ?? 'no more'}, received ${received[i] ?? 'no more'}`;
  return { name, ok: false, detail };
}

/** A computed number in a log line, with its printed decimals and how close it must be. */
const LOG_NUMBERS: readonly { pattern: RegExp; relative: number; absolute: number }[] = [
  { pattern: /(?<=\| running_train_loss=)-?\d+\.\d{4}(?= )/, relative: LOSS_LATER, absolute: 1.01e-4 },
  { pattern: /(?<=\| (?:train|val)_loss=)-?\d+\.\d{6}(?=$| )/g, relative: LOSS_LATER, absolute: 1.01e-6 },
  { pattern: /(?<=\| monitor_value=)-?\d+\.\d{6}(?= )/, relative: 0, absolute: RANKING_METRIC },
  {
    pattern: new RegExp(`(?<=\\| (?:${RANKING.join('|')})=)-?\\d+\\.\\d{6}(?= )`, 'g'),
    relative: 0,
    absolute: RANKING_METRIC,
  },
  {
    pattern: new RegExp(`(?<=\\| (?:${COUNTING.join('|')})=)-?\\d+\\.\\d{6}(?= )`, 'g'),
    relative: 0,
    absolute: COUNTING_METRIC,
  },
];

function compareLogs(golden: string, produced: string): Check[] {
  const [expected, received] = [golden, produced].map(logLines);
  const skeleton = ({ text }: LogLine) => text;
  const numbers = new Gap('numbers');
  expected.forEach(({ values, text }, i) => {
    values.forEach(({ value, tolerance }, k) => {
      numbers.add(value, received[i]?.values[k]?.value ?? Number.NaN, tolerance, text.split(' - ')[1]);
    });
  });
  return [textCheck('lines', expected.map(skeleton), received.map(skeleton)), numbers.check()];
}

interface LogLine {
  /** Without date and time, computed numbers replaced by #. */
  readonly text: string;
  readonly values: readonly { readonly value: number; readonly tolerance: number }[];
}

function logLines(path: string): LogLine[] {
  return readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => {
      const values: { value: number; tolerance: number }[] = [];
      let text = line
        .replace(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d /, '')
        .replace(/(?<=\| epoch_seconds=)\d+\.\d{6}(?= )/, '#');
      for (const { pattern, relative, absolute } of LOG_NUMBERS) {
        text = text.replace(pattern, (number) => {
          values.push({ value: Number(number), tolerance: absolute + relative * Math.abs(Number(number)) });
          return '#';
        });
      }
      return { text, values };
    });
}

function compareCsv(golden: string, produced: string): Check[] {
  const [expected, received] = [golden, produced].map((path) => readFileSync(path, 'utf8'));
  const [rows, ours] = [expected, received].map((text) =>
    text
      .split('\r\n')
      .slice(0, -1)
      .map((row) => row.split(',')),
  );
  const header = rows[0];
  const [losses, rates, metrics] = [new Gap('losses'), new Gap('learning rates'), new Gap('metrics')];
  rows.slice(1).forEach((row, i) => {
    row.forEach((cell, column) => {
      const [value, other] = [Number(cell), Number(ours[i + 1]?.[column] ?? Number.NaN)];
      const where = `row ${i + 1} ${header[column]}`;
      const metric = header[column].replace(/^Val /, '');
      if (/ Loss$/.test(header[column])) {
        losses.add(value, other, Math.abs(value) * (i === 0 ? LOSS_FIRST_EPOCH : LOSS_LATER), where);
      } else if (header[column] === 'Learning Rate') rates.add(value, other, Math.abs(value) * LEARNING_RATE, where);
      else if (RANKING.includes(metric)) metrics.add(value, other, RANKING_METRIC, where);
      else if (COUNTING.includes(metric)) metrics.add(value, other, COUNTING_METRIC, where);
    });
  });
  const shape = (table: readonly string[][]) => table.map((row, i) => (i === 0 ? row : row.map(cellKind)).join(','));
  return [
    textCheck('header, rows and number formats', shape(rows), shape(ours)),
    { name: 'line ends', ok: !/[^\r]\n/.test(received) && received.endsWith('\r\n'), detail: 'CRLF throughout' },
    ...(basename(golden) === 'training_step.csv' ? [losses.check(), rates.check()] : []),
    metrics.check(),
  ];
}

/** Integers and words stand for themselves; a float for being written as Python writes it. */
function cellKind(cell: string): string {
  if (/^-?\d+$/.test(cell) || Number.isNaN(Number(cell)) || cell === '') return cell;
  return pythonRepr(Number(cell)) === cell ? 'float' : `not Python's repr: ${cell}`;
}

function compareWeights(golden: string, produced: string): Check[] {
  const [expected, received] = [golden, produced].map((path) => [...readPth(path).tensors.values()]);
  const layout = (tensors: typeof expected) => tensors.map(({ name, dtype, shape }) => `${name} ${dtype} [${shape}]`);
  const weights = new Gap('weights but for K biases');
  for (const [t, tensor] of expected.entries()) {
    const [values, others] = [toFloat32(tensor), received[t] === undefined ? [] : toFloat32(received[t])];
    const width = values.length / 3;
    for (let i = 0; i < values.length; i++) {
      // Attention is the same whatever is added to all keys: the true gradient is zero, and Adam follows the rounding.
      if (tensor.name.endsWith('in_proj_bias') && i >= width && i < 2 * width) continue;
      weights.add(values[i], others[i] ?? Number.NaN, WEIGHT, `${tensor.name}[${i}]`);
    }
  }
  return [textCheck('names, types, shapes and order', layout(expected), layout(received)), weights.check()];
}
