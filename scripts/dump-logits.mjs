// Scores random pairs with a checkpoint and writes all that check-torch.py needs to do the same in PyTorch:
// node scripts/dump-logits.mjs CONFIG CHECKPOINT OUT.safetensors
import { buildModel, loadConfig, loadState, selectEngine, TorchGenerator, writeSafetensors } from '../dist/index.js';

const PAIRS = 16;
const LONGEST = 40;
const [configPath, checkpoint, out] = process.argv.slice(2);
if (out === undefined) throw new Error('usage: dump-logits.mjs CONFIG CHECKPOINT OUT.safetensors');

const { config } = loadConfig(configPath);
const { model_config: model, training_config: training, device_config: device } = config;
const dim = model.input_dim;
const random = new TorchGenerator(47);
const lengths = Int32Array.from({ length: 2 * PAIRS }, () => 1 + (random.random32() % LONGEST));
const rows = Array.from(lengths, (length) => {
  const values = new Float32Array(length * dim);
  random.normal(values);
  return values;
});
const store = { dim, count: rows.length, lengths, read: (index, target, at) => target.set(rows[index], at) };
const [proteinA, proteinB] = [0, PAIRS].map((from) => Int32Array.from({ length: PAIRS }, (_, i) => from + i));

const { pos_weight: posWeight, label_smoothing: labelSmoothing } = training.loss;
const program = buildModel(model.model, model, { posWeight, labelSmoothing });
const engine = await selectEngine(device);
const bound = engine.createModel(program, store);
bound.load(loadState(checkpoint, program));
const { logits } = await bound.evaluate({ proteinA, proteinB, labels: new Float32Array(PAIRS) });

/** Rows of each protein, padded with zeros to the longest: [B, L, E]. */
function padded(name, proteins) {
  const data = new Float32Array(PAIRS * LONGEST * dim);
  proteins.forEach((protein, i) => {
    data.set(rows[protein], i * LONGEST * dim);
  });
  return { name, dtype: 'float32', shape: [PAIRS, LONGEST, dim], data };
}

function lengthsOf(name, proteins) {
  const data = BigInt64Array.from(proteins, (protein) => BigInt(lengths[protein]));
  return { name, dtype: 'int64', shape: [PAIRS], data };
}

writeSafetensors(
  out,
  [
    padded('emb_a', proteinA),
    padded('emb_b', proteinB),
    lengthsOf('len_a', proteinA),
    lengthsOf('len_b', proteinB),
    { name: 'logits', dtype: 'float32', shape: [PAIRS], data: logits },
  ],
  { model_config: JSON.stringify(model) },
);
bound.dispose();
console.log(`${PAIRS} logits of ${checkpoint} by the ${engine.info.name} engine: ${out}`);
