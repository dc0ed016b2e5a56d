/** Ops that are no matrix product: beside what memory allows, PyTorch and the TypeScript engine; their share of a step. */
import { join } from 'node:path';
import { accountOf, boundOf, stepCases } from './step-ops.mjs';
import { BENCH, median, nativePrograms, short, table, trial } from './trial.mjs';

export const title = 'Other operations';
export const NEEDS = ['python'];

/** Medians of a trial are taken over this many repetitions. */
const REPETITIONS = 3;
const WANTED = 1.5;
/** What is shown: rows of the seed model at 16 pairs x 32, wider ones that leave the caches, and attention of both. */
const SHOWN = [
  'rows=1024x384',
  'rows=8192x1536',
  'attention=32x32x12x32',
  'attention=4x512x8x80',
  'absorbed=16x32x12x32',
];
const STEP = ['--preset', 'seed', '--batch', 16, '--lengths', 'fixed:32', '--steps', 8];

export function measure({ python, rounds, threads, isa, match }) {
  const program = join(nativePrograms(), 'bench_ops');
  const cases = [...new Set([...SHOWN, ...stepCases()])];
  const runs = Array.from({ length: rounds }, (_, round) => {
    console.error(`ops, round ${round + 1}`);
    return {
      torch: trial(python, [join(BENCH, 'ops_torch.py'), threads, REPETITIONS]),
      ours: trial(program, [threads, REPETITIONS, isa, 'json', ...cases]),
      typescript: trial(process.execPath, [join(BENCH, 'ops-typescript.mjs'), REPETITIONS]),
      step: trial(process.execPath, [join(BENCH, 'step.mjs'), ...STEP, '--threads', threads]).ms_median,
    };
  });
  const ours = merged(runs.map((each) => each.ours.results));
  const peers = ['torch', 'typescript'].map((name) => merged(runs.map((each) => each[name].results)));
  const shapes = new Set(SHOWN.map((each) => each.split('=')[1]));
  const shown = [...ours.values()].filter(
    (each) => (shapes.has(each.shape) || each.name === 'adamw') && each.name.includes(match),
  );
  const step = median(runs.map((each) => each.step));
  return { body: bodyOf(shown, peers, accountOf(ours, step)), torch: runs[0].torch.torch };
}

/** By name and shape, the medians over the rounds. */
function merged(rounds) {
  const key = ({ name, shape }) => `${name}@${shape}`;
  const entries = rounds[0].map((first) => {
    const same = rounds.map((round) => round.find((each) => key(each) === key(first)));
    const numbers = Object.keys(first).filter((name) => typeof first[name] === 'number');
    return [
      key(first),
      { ...first, ...Object.fromEntries(numbers.map((name) => [name, median(same.map((each) => each[name]))])) },
    ];
  });
  return new Map(entries);
}

function bodyOf(shown, [torch, typescript], { rows, summary }) {
  const cells = shown.map((each) => {
    const peer = torch.get(`${each.name}@${each.shape}`)?.ns;
    const script = typescript.get(`${each.name}@${each.shape}`)?.ns;
    return [
      each.name,
      each.shape,
      ...[each.ns, each.floor].map((ns) => ns.toFixed(3)),
      each.ratio.toFixed(2),
      each.arithmetic.toFixed(3),
      boundOf(each),
      peer?.toFixed(3) ?? '',
      peer === undefined ? '' : short(peer / each.ns),
      script === undefined ? '' : short(script),
    ];
  });
  return `Nanoseconds an element; a score in attention (sequences x length x heads x head width), a parameter in AdamW. The floor is the
time that a copy over buffers as large takes in the same round for the bytes that the op must move, each operand read or
written once (for ops that update in place, a scaling in place where that is faster). "Arithmetic" is the op itself on rows that never leave the first-level cache, shared among the threads; of
attention, its products at the speed of a large linear layer and the softmax and masks in that cache. Where arithmetic
takes longer than the floor, memory is not what limits the op. The native engine and PyTorch use the same threads, the TypeScript
engine one. PyTorch's backward is autograd's, with a retained graph; AdamW is its fused one.

${table(['Op', 'shape', 'ours', 'floor', 'ratio', 'arithmetic', 'bound by', 'PyTorch', 'PyTorch / ours', 'TypeScript'], cells)}

The ops of one seed step (16 pairs x 32 residues) that are no matrix product, each at its own shape times how often it
occurs. Slices and joins of rows move nothing, and the loss of 16 pairs is left out. ${summary}
Of those bound by memory at most ${WANTED} times is wanted.

${table(['Op', 'times', 'ms', 'floor ms', 'ratio', 'arithmetic ms', 'bound by'], rows)}`;
}
