/** Scoring a whole split: the native engine, which encodes each protein once, against PyTorch's evaluation loop. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { initialState, PackedStore, saveState, TorchGenerator, writePackedStore } from '../../dist/index.js';
import { drawLengths, INPUT_DIM, presetConfig, presetProgram } from './presets.mjs';
import { BENCH, median, range, short, table, trial } from './trial.mjs';

export const title = 'Evaluation';
export const NEEDS = ['python', 'oracle'];

const SEED = 47;
const PROTEINS = 1000;
const PAIRS = 20000;
const BATCH = 32;
const PRESET = 'seed';
const WANTED = 8;
/** Pairs that PyTorch scores, and that ours does after the pairs that hold every protein once. */
const SAMPLES = { torch: 2 * BATCH, ours: 10 * BATCH };

export function measure({ python, oracle, rounds, threads, bf16 }) {
  const folder = mkdtempSync(join(tmpdir(), 'relic-bench-'));
  try {
    const split = writeSplit(folder);
    const engines = ['fp32', ...(bf16 ? ['bf16'] : [])];
    const all = Array.from({ length: rounds }, (_, round) => {
      const theirs = trial(python, [join(BENCH, 'evaluate_torch.py'), oracle, split, threads]);
      const ours = engines.map((precision) =>
        trial(process.execPath, [join(BENCH, 'score.mjs'), split, precision, threads]),
      );
      console.error(
        `evaluation, round ${round + 1}: ${[theirs, ...ours].map((each) => each.ms_per_pair.toFixed(1))} ms a pair`,
      );
      return { theirs, ours };
    });
    const rows = engines.map((name, i) =>
      row(
        name,
        all.map(({ theirs, ours }) => ({ theirs, ours: ours[i] })),
      ),
    );
    return { body: bodyOf(rows), torch: all[0].theirs.torch };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function bodyOf(rows) {
  return `${PAIRS.toLocaleString('en')} pairs among ${PROTEINS.toLocaleString('en')} proteins of real lengths (log-normal within 50 to 1000, mean about 410), the
${PRESET} preset, batches of ${BATCH}, embeddings in one packed float16 file that both read, the same weights.

Both sides are timed on a sample, and the time of all pairs is computed from it. Ours scores ${PROTEINS / 2} pairs that hold each
protein once, which encodes them all, then ${SAMPLES.ours} others; the time of the second part stands for the remaining pairs.
PyTorch scores the first ${SAMPLES.torch} of those others in eval mode without gradients, in padded batches that were made before its clock
starts; reading rows is within ours. The last column is the largest difference of the logits of the pairs that both scored.

${table(['Precision', 'PyTorch s', 'ours s', 'of which encoding', 'ratio', 'range', 'wanted', 'difference'], rows)}`;
}

function row(name, rounds) {
  const times = rounds.map(({ theirs, ours }) => {
    const encoding = (ours.cold_ms - (PROTEINS / 2) * ours.ms_per_pair) / 1e3;
    const total = (ours.cold_ms + (PAIRS - PROTEINS / 2) * ours.ms_per_pair) / 1e3;
    const peer = (PAIRS * theirs.ms_per_pair) / 1e3;
    const difference = Math.max(...theirs.logits.map((logit, i) => Math.abs(logit - ours.logits[i])));
    return { encoding, total, peer, ratio: peer / total, difference };
  });
  const all = (key) => times.map((each) => each[key]);
  return [
    name,
    short(median(all('peer'))),
    short(median(all('total'))),
    short(median(all('encoding'))),
    median(all('ratio')).toFixed(2),
    range(all('ratio')),
    WANTED,
    Math.max(...all('difference')).toExponential(1),
  ];
}

/** Writes embeddings, weights and pairs; returns the path of the JSON that names them. */
function writeSplit(folder) {
  const generator = new TorchGenerator(SEED);
  const lengths = drawLengths('pring', PROTEINS, generator);
  const rows = new Float32Array(Math.max(...lengths) * INPUT_DIM);
  const store = join(folder, 'store.safetensors');
  writePackedStore(store, {
    dim: INPUT_DIM,
    dtype: 'float16',
    source: 'benchmark',
    fingerprint: '',
    ids: lengths.map((_, i) => `P${i}`),
    lengthOf: (id) => lengths[Number(id.slice(1))],
    rowsOf: (id) => {
      const values = rows.subarray(0, lengths[Number(id.slice(1))] * INPUT_DIM);
      generator.normal(values);
      return values;
    },
  });
  const weights = join(folder, 'weights.pth');
  const program = presetProgram(PRESET, 0.1);
  saveState(weights, program, initialState(program, new TorchGenerator(SEED)));
  const opened = PackedStore.open(store, { maxLength: 1000 });
  const { dataStart, rowOffsets } = opened.file;
  opened.close();
  const split = {
    ...{ store, weights, preset: PRESET, batch: BATCH, proteins: PROTEINS, model_config: presetConfig(PRESET, 0.1) },
    ...{ data_start: dataStart, row_offsets: Array.from(rowOffsets), input_dim: INPUT_DIM, samples: SAMPLES },
    pairs: drawPairs(generator),
  };
  const path = join(folder, 'split.json');
  writeFileSync(path, JSON.stringify(split));
  return path;
}

/** Pairs that hold each protein once, then random ones, as many as ours scores. */
function drawPairs(generator) {
  const keys = new Float32Array(PROTEINS);
  generator.uniform(keys);
  const order = Array.from(keys.keys()).sort((a, b) => keys[a] - keys[b]);
  const drawn = new Float32Array(2 * SAMPLES.ours);
  generator.uniform(drawn);
  const chosen = Array.from(drawn, (x) => Math.min(PROTEINS - 1, Math.floor(x * PROTEINS)));
  const all = [...order, ...chosen];
  return Array.from({ length: all.length / 2 }, (_, i) => [all[2 * i], all[2 * i + 1]]);
}
