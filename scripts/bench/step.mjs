// Times training or scoring steps of one engine and prints one JSON line, as the oracle's bench_torch.py does for PyTorch:
//
//   node scripts/bench/step.mjs --preset seed --lengths fixed:32 --batch 16 --threads 2 --engine native
//
// With --launcher openmpi or mpich it is one of the ranks that an mpirun started: they share the pairs of a batch, and rank 0
// prints the line. Lengths, embeddings and labels are drawn from the generator in the order of that script, so both time the same batches.
import { parseArgs } from 'node:util';
import { openComm } from '../../dist/engine/native/comm.js';
import { findBinary } from '../../dist/engine/native/loader.js';
import { initialState, selectEngine, TorchGenerator } from '../../dist/index.js';
import { drawLengths, INPUT_DIM, presetProgram } from './presets.mjs';

const WARM_UP = 2;

const { values } = parseArgs({
  options: {
    preset: { type: 'string', default: 'seed' },
    lengths: { type: 'string', default: 'fixed:32' },
    batch: { type: 'string', default: '16' },
    threads: { type: 'string', default: '2' },
    steps: { type: 'string', default: '10' },
    mode: { type: 'string', default: 'train' },
    engine: { type: 'string', default: 'native' },
    dropout: { type: 'string', default: '0.1' },
    seed: { type: 'string', default: '47' },
    precision: { type: 'string', default: 'fp32' },
    amp: { type: 'string', default: 'none' },
    launcher: { type: 'string' },
  },
});
const [pairs, threads, steps, rate, seed] = ['batch', 'threads', 'steps', 'dropout', 'seed'].map((name) =>
  Number(values[name]),
);
const { OMPI_COMM_WORLD_RANK, PMI_RANK, OMPI_COMM_WORLD_SIZE, PMI_SIZE } = process.env;
const rank = Number(OMPI_COMM_WORLD_RANK ?? PMI_RANK ?? 0);
const size = values.launcher === undefined ? 1 : Number(OMPI_COMM_WORLD_SIZE ?? PMI_SIZE);

const generator = new TorchGenerator(seed);
const rows = [];
const batches = Array.from({ length: steps + WARM_UP }, () => {
  const [proteinA, proteinB] = ['a', 'b'].map(() => side());
  const labels = new Float32Array(pairs);
  generator.uniform(labels);
  const mine = (_, i) => i % size === rank;
  return {
    proteinA: proteinA.filter(mine),
    proteinB: proteinB.filter(mine),
    labels: labels.map((x) => (x < 0.5 ? 1 : 0)).filter(mine),
  };
});

/** One side of a batch: its lengths, then its rows, padded as they are drawn. Returns store indices. */
function side() {
  const lengths = drawLengths(values.lengths, pairs, generator);
  const longest = Math.max(...lengths);
  const padded = new Float32Array(pairs * longest * INPUT_DIM);
  generator.normal(padded);
  return Int32Array.from(lengths, (length, i) => {
    const from = i * longest * INPUT_DIM;
    return rows.push(padded.subarray(from, from + length * INPUT_DIM)) - 1;
  });
}

const program = presetProgram(values.preset, rate);
const store = {
  dim: INPUT_DIM,
  count: rows.length,
  lengths: Int32Array.from(rows, (each) => each.length / INPUT_DIM),
  read: (index, out, at) => out.set(rows[index], at),
};
const comm =
  values.launcher === undefined
    ? undefined
    : await openComm((await findBinary()).loaded, { backend: 'auto', rank, size, launcher: values.launcher });
const engine = await selectEngine({
  ...(comm === undefined ? {} : { ranks: { comm } }),
  device: values.engine === 'cuda' ? 'cuda' : 'cpu',
  engine: values.engine,
  threads,
  cpu_precision: values.precision,
  use_mixed_precision: values.amp !== 'none',
  amp_dtype: values.amp === 'fp16' ? 'fp16' : 'bf16',
});
const model = engine.createModel(program, store);
model.load(initialState(program, new TorchGenerator(seed)));
model.setOptimizer({ type: 'adamw', beta2: 0.999, eps: 1e-8, weightDecay: 0.01 }, () => true, false);

const times = [];
let before = { waited: 0, total: 0 };
for (const [step, batch] of batches.entries()) {
  if (step === WARM_UP) before = model.collectiveSeconds?.() ?? before;
  const start = performance.now();
  if (values.mode === 'eval') await model.evaluate(batch);
  else {
    const settings = { step, lr: 1e-4, momentum: 0.9, hardExamples: null };
    await model.trainStep([{ batch, dropoutKey: [seed, 0] }], settings);
  }
  if (step >= WARM_UP) times.push(performance.now() - start);
}
const after = model.collectiveSeconds?.() ?? before;
const seconds = times.reduce((sum, each) => sum + each, 0) / 1e3;
const share = (name) => round((after[name] - before[name]) / seconds);
times.sort((a, b) => a - b);
const median = (times[(times.length - 1) >> 1] + times[times.length >> 1]) / 2;
const round = (x) => Number(x.toFixed(3));
const ranks = comm && {
  ranks: size,
  collectives: comm.description(),
  collectives_waited_share: share('waited'),
  collectives_total_share: share('total'),
};
const line = () =>
  JSON.stringify({
    ms_median: round(median),
    ms_min: round(times[0]),
    ms_max: round(times.at(-1)),
    pairs_per_s: round((pairs / median) * 1e3),
    bytes: model.memory(),
    max_rss_bytes: process.resourceUsage().maxRSS * 1024,
    isa: engine.info.isa,
    ...ranks,
    ...values,
  });
if (rank === 0) console.log(line());
model.dispose();
await comm?.close();
