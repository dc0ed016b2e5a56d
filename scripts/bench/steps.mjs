// Races whole training steps of the engines against PyTorch, in turn, and writes docs/benchmarks.md:
//
//   node scripts/bench/steps.mjs --python .venv/bin/python --oracle ORACLE_DIR [--rounds 5] [--only seed] [--no-write]
//
// ORACLE_DIR holds bench_torch.py. Each trial is a process of its own; ratios are of one round, PyTorch's time by ours.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
/** What is raced, with the ratio wanted of the native engine in float32. */
const CASES = [
  { preset: 'tiny', batch: 4, lengths: 'fixed:8', steps: 200, wanted: 10 },
  { preset: 'seed', batch: 16, lengths: 'fixed:32', steps: 8, wanted: 1.8 },
  { preset: 'seed', batch: 8, lengths: 'fixed:256', steps: 3, wanted: 1.8 },
  { preset: 'prod', batch: 2, lengths: 'fixed:512', steps: 2, wanted: 1.5 },
  { preset: 'seed', batch: 8, lengths: 'pring', steps: 1, wanted: 4 },
];

const { values } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    oracle: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    only: { type: 'string' },
    'no-write': { type: 'boolean', default: false },
  },
});
if (values.oracle === undefined) throw new Error('--oracle DIR is needed: the folder of bench_torch.py');

/** Runs one trial and returns its JSON line. */
function trial(program, script, { preset, batch, lengths, steps }) {
  const size = ['--preset', preset, '--batch', String(batch), '--lengths', lengths, '--steps', String(steps)];
  const output = execFileSync(program, [script, ...size, '--threads', values.threads], { encoding: 'utf8' });
  return JSON.parse(output.trim().split('\n').at(-1));
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
const rows = [];
let torch = '';
for (const race of CASES.filter(({ preset }) => values.only === undefined || preset === values.only)) {
  const rounds = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    const theirs = trial(values.python, join(values.oracle, 'bench_torch.py'), race);
    const ours = trial(process.execPath, join(ROOT, 'scripts', 'bench', 'step.mjs'), race);
    torch = theirs.torch;
    rounds.push({ theirs: theirs.ms_median, ours: ours.ms_median, ratio: theirs.ms_median / ours.ms_median });
  }
  const ratios = rounds.map(({ ratio }) => ratio);
  const cells = [
    `${race.preset} ${race.batch} x ${race.lengths}`,
    median(rounds.map(({ theirs }) => theirs)).toFixed(1),
    median(rounds.map(({ ours }) => ours)).toFixed(2),
    median(ratios).toFixed(2),
    `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`,
    String(race.wanted),
  ];
  rows.push(`| ${cells.join(' | ')} |`);
  console.log(rows.at(-1));
}

const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: ROOT, encoding: 'utf8' }).trim();
const page = `# Benchmarks

Written by \`node scripts/bench/steps.mjs --rounds ${values.rounds} --threads ${values.threads}\` on ${new Date().toISOString().slice(0, 10)}, at commit ${commit}:
${cpus()[0].model.trim()}, Node ${process.versions.node}, PyTorch ${torch}. One training step (forward, backward, AdamW) in float32, dropout
on, ${values.threads} threads, the same batches; PyTorch and the native engine in turn, each trial a process of its own. The ratio is PyTorch's
median by ours within a round: its median over the rounds, and its range.

| Model, pairs x residues | PyTorch ms | native ms | ratio | range | wanted |
| --- | --- | --- | --- | --- | --- |
${rows.join('\n')}
`;
if (!values['no-write']) {
  mkdirSync(join(ROOT, 'docs'), { recursive: true });
  writeFileSync(join(ROOT, 'docs', 'benchmarks.md'), page);
}
