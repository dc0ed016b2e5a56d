// Scores pairs of a config's test split with its checkpoint and writes all that check-torch.py needs to do the same:
// node scripts/dump-logits.mjs CONFIG CHECKPOINT OUT.safetensors       (after the config was run, so its data is there)
import { readFileSync } from 'node:fs';
import {
  buildModel,
  loadConfig,
  loadState,
  PackedStore,
  planPipeline,
  selectEngine,
  writeSafetensors,
} from '../dist/index.js';

const PAIRS = 16;
const [configPath, checkpoint, out] = process.argv.slice(2);
if (out === undefined) throw new Error('usage: dump-logits.mjs CONFIG CHECKPOINT OUT.safetensors');

const loaded = loadConfig(configPath);
const { data_config: data, model_config: model, training_config: training, device_config: device } = loaded.config;
const { embeddings } = await planPipeline(loaded);
const store = PackedStore.open(embeddings.path, { maxLength: data.max_sequence_length });
const pairs = readFileSync(data.dataloader.test_dataset, 'utf8')
  .split('\n')
  .map((line) => line.trim().split('\t'))
  .filter(({ length }) => length === 3)
  .slice(0, PAIRS);
const [proteinA, proteinB] = [0, 1].map((side) => Int32Array.from(pairs, (fields) => store.indexOf(fields[side])));
const labels = Float32Array.from(pairs, (fields) => Number(fields[2]));

const program = buildModel(model.model, model, {
  posWeight: training.loss.pos_weight,
  labelSmoothing: training.loss.label_smoothing,
});
const engine = await selectEngine(device);
const bound = engine.createModel(program, store);
bound.load(loadState(checkpoint, program));
const { logits } = await bound.evaluate({ proteinA, proteinB, labels });

/** Rows of each protein, padded with zeros to the longest: [B, L, E]. */
function padded(name, proteins) {
  const longest = Math.max(...Array.from(proteins, (protein) => store.lengths[protein]));
  const rows = new Float32Array(proteins.length * longest * store.dim);
  for (const [i, protein] of proteins.entries()) store.read(protein, rows, i * longest * store.dim);
  return { name, dtype: 'float32', shape: [proteins.length, longest, store.dim], data: rows };
}

function lengths(name, proteins) {
  const data = BigInt64Array.from(proteins, (protein) => BigInt(store.lengths[protein]));
  return { name, dtype: 'int64', shape: [proteins.length], data };
}

writeSafetensors(
  out,
  [
    padded('emb_a', proteinA),
    padded('emb_b', proteinB),
    lengths('len_a', proteinA),
    lengths('len_b', proteinB),
    { name: 'logits', dtype: 'float32', shape: [logits.length], data: logits },
  ],
  { model_config: JSON.stringify(model) },
);
bound.dispose();
store.close();
console.log(`${logits.length} logits of ${checkpoint} by the ${engine.info.name} engine: ${out}`);
