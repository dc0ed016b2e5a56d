// One trial of evaluation.mjs on the native engine: score.mjs SPLIT.json fp32|bf16 THREADS. Prints one JSON line: the
// time of the pairs that hold every protein once, then the time of a further pair.
import { readFileSync } from 'node:fs';
import { evaluate, loadState, PackedStore, selectEngine } from '../../dist/index.js';
import { presetProgram } from './presets.mjs';

const [path, precision, threads] = process.argv.slice(2);
const split = JSON.parse(readFileSync(path, 'utf8'));
const program = presetProgram(split.preset, 0.1);
const store = PackedStore.open(split.store, { maxLength: 1000 });
const engine = await selectEngine({
  device: 'cpu',
  engine: 'native',
  threads: Number(threads),
  cpu_precision: precision,
});
const model = engine.createModel(program, store);
model.load(loadState(split.weights, program));

const first = split.proteins / 2;
// Threads and buffers: the encoder's outputs of these two pairs are forgotten by the load that follows.
await score(split.pairs.slice(0, 2));
model.load(loadState(split.weights, program));
const cold = await score(split.pairs.slice(0, first));
const warm = await score(split.pairs.slice(first));
console.log(
  JSON.stringify({
    cold_ms: cold.milliseconds,
    ms_per_pair: warm.milliseconds / split.samples.ours,
    logits: Array.from(warm.logits.subarray(0, split.samples.torch)),
    max_rss_bytes: process.resourceUsage().maxRSS * 1024,
  }),
);
model.dispose();
store.close();

async function score(pairs) {
  const batches = [];
  for (let from = 0; from < pairs.length; from += split.batch) {
    const part = pairs.slice(from, from + split.batch);
    const [proteinA, proteinB] = [0, 1].map((side) => Int32Array.from(part, (pair) => pair[side]));
    batches.push({ proteinA, proteinB, labels: new Float32Array(part.length) });
  }
  const options = { metrics: [], threshold: 0.5, orderAveraged: false, lossByBatch: false, undefinedAsZero: false };
  const start = performance.now();
  const { logits } = await evaluate({ model, batches, ...options });
  return { milliseconds: performance.now() - start, logits };
}
