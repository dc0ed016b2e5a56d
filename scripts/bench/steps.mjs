/** Whole training steps: PyTorch and the native engine, in float32 and with bf16 factors; and the TypeScript engine. */
import { join } from 'node:path';
import { BENCH, median, range, short, table, trial } from './trial.mjs';

export const title = 'Training steps';
export const NEEDS = ['python', 'oracle'];

/** What is raced, and the ratios wanted of the native engine, PyTorch's time by ours. */
const CASES = [
  { preset: 'tiny', batch: 4, lengths: 'fixed:8', steps: 200, wanted: { fp32: 10 } },
  { preset: 'seed', batch: 16, lengths: 'fixed:32', steps: 8, wanted: { fp32: 1.8, bf16: 2.8 } },
  { preset: 'seed', batch: 8, lengths: 'fixed:256', steps: 3, wanted: { fp32: 1.8, bf16: 2.8 } },
  { preset: 'prod', batch: 2, lengths: 'fixed:512', steps: 2, wanted: { fp32: 1.5, bf16: 2.5 } },
  { preset: 'seed', batch: 8, lengths: 'pring', steps: 1, wanted: { fp32: 4 } },
];
/** What the TypeScript engine is timed on, against the native one. */
const SCALE_CASES = [
  { preset: 'tiny', batch: 4, lengths: 'fixed:8', steps: 20 },
  { preset: 'seed', batch: 4, lengths: 'fixed:16', steps: 1 },
];

export function measure(settings) {
  const runs = CASES.filter((each) => nameOf(each).includes(settings.match)).map((each) => race(each, settings));
  const scale = SCALE_CASES.filter((each) => nameOf(each).includes(settings.match));
  const body = `One training step (forward, backward, AdamW), dropout on, the same batches in the same order, the median of a trial's
steps after two to warm up. Batches that PyTorch gets are padded to their longest protein, as the original does. "bf16" rounds
the factors of linear layers to bfloat16 (\`cpu_precision: bf16\`) and is compared with PyTorch in float32.

${table(['Model, pairs x residues', 'PyTorch ms', 'fp32 ms', 'ratio', 'range', 'wanted', 'bf16 ms', 'ratio', 'range', 'wanted'], runs.map(timeRow))}

Largest resident set of those processes, with the interpreter, the batches and the optimiser. In the prod case ours is wanted
below PyTorch's.

${table(['Model, pairs x residues', 'PyTorch MB', 'fp32 MB', 'share', 'bf16 MB', 'share'], runs.map(memoryRow))}

The TypeScript engine, which runs where no binary does, beside the native one in float32:

${table(
  ['Model, pairs x residues', 'TypeScript ms', 'native ms', 'ratio', 'range'],
  scale.map((each) => scaleRow(each, settings)),
)}`;
  return { body, torch: runs[0]?.torch };
}

function nameOf({ preset, batch, lengths }) {
  return `${preset} ${batch} x ${lengths === 'pring' ? 'real lengths (pring)' : lengths.slice('fixed:'.length)}`;
}

function sizeOf({ preset, batch, lengths, steps }, threads) {
  return ['--preset', preset, '--batch', batch, '--lengths', lengths, '--steps', steps, '--threads', threads];
}

function ours(one, { threads }, ...more) {
  return trial(process.execPath, [join(BENCH, 'step.mjs'), ...sizeOf(one, threads), ...more]);
}

function race(one, settings) {
  const { python, oracle, rounds, threads, bf16 } = settings;
  const sides = { torch: [], fp32: [], bf16: [] };
  for (let round = 0; round < rounds; round++) {
    const script = [join(BENCH, 'peak_memory.py'), join(oracle, 'bench_torch.py')];
    sides.torch.push(trial(python, [...script, ...sizeOf(one, threads)]));
    sides.fp32.push(ours(one, settings));
    if (bf16) sides.bf16.push(ours(one, settings, '--precision', 'bf16'));
    console.error(
      `${nameOf(one)}: ${Object.entries(sides).map(([name, trials]) => `${name} ${trials.at(-1)?.ms_median} ms`)}`,
    );
  }
  const times = (name) => sides[name].map((each) => each.ms_median);
  const ratios = (name) => times(name).map((time, i) => times('torch')[i] / time);
  const memory = (name) => median(sides[name].map((each) => each.max_rss_bytes / 1e6));
  return { one, times, ratios, memory, bf16, torch: sides.torch[0].torch };
}

function timeRow({ one, times, ratios, bf16 }) {
  const side = (name) => [
    short(median(times(name))),
    median(ratios(name)).toFixed(2),
    range(ratios(name)),
    one.wanted[name] ?? '',
  ];
  return [nameOf(one), short(median(times('torch'))), ...side('fp32'), ...(bf16 ? side('bf16') : ['', '', '', ''])];
}

function memoryRow({ one, memory, bf16 }) {
  const side = (name) => [memory(name).toFixed(0), `${((100 * memory(name)) / memory('torch')).toFixed(0)} %`];
  return [nameOf(one), memory('torch').toFixed(0), ...side('fp32'), ...(bf16 ? side('bf16') : ['', ''])];
}

function scaleRow(one, settings) {
  const rounds = Array.from({ length: settings.rounds }, () => {
    const [typescript, native] = ['typescript', 'native'].map(
      (name) => ours(one, settings, '--engine', name).ms_median,
    );
    console.error(`${nameOf(one)}: typescript ${typescript} ms, native ${native} ms`);
    return { typescript, native, ratio: typescript / native };
  });
  const all = (key) => rounds.map((round) => round[key]);
  return [
    nameOf(one),
    short(median(all('typescript'))),
    short(median(all('native'))),
    short(median(all('ratio'))),
    range(all('ratio')),
  ];
}
