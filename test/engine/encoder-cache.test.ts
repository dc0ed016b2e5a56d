/** The bound of what an evaluation keeps: how large it is, and that scores do not depend on it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { encoderCacheBytes } from '../../src/engine/encoder-cache.ts';
import type { Batch, Engine } from '../../src/engine/engine.ts';
import { createNativeEngine } from '../../src/engine/native/engine.ts';
import { createTypescriptEngine } from '../../src/engine/typescript/engine.ts';
import { buildV3 } from '../../src/model/v3.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { initialState } from '../../src/train/initial-state.ts';
import { NO_LOSS_OPTIONS, smallV3 } from '../model/v3-config.ts';
import { memoryStore, nativeBinary } from './engines.ts';

const test = suite('engine/encoder-cache');
const GIB = 2 ** 30;
const DIM = 8;
const WIDTH = 16;
const PROTEINS = 40;
const LENGTH = 32;
/** Rows of one encoded protein. */
const ENCODED = LENGTH * WIDTH * 4;

test('an eighth of the memory, of what a container has of it, in equal parts for the ranks of a node', () => {
  const facts = { requestedMb: null, totalBytes: 64 * GIB, constrainedBytes: undefined, localRanks: 1 };
  assert.is(encoderCacheBytes(facts), 8 * GIB);
  assert.is(encoderCacheBytes({ ...facts, localRanks: 4 }), 2 * GIB);
  assert.is(encoderCacheBytes({ ...facts, constrainedBytes: 16 * GIB }), 2 * GIB);
  for (const constrainedBytes of [0, 2 ** 63]) {
    assert.is(encoderCacheBytes({ ...facts, constrainedBytes }), 8 * GIB, `${constrainedBytes} means no limit`);
  }
});

test('what the config asks for is taken, nothing included', () => {
  const facts = { totalBytes: GIB, constrainedBytes: GIB, localRanks: 8 };
  assert.is(encoderCacheBytes({ ...facts, requestedMb: 3 }), 3 * 2 ** 20);
  assert.is(encoderCacheBytes({ ...facts, requestedMb: 0 }), 0);
});

const generator = new TorchGenerator(29);
const store = memoryStore(
  DIM,
  Array.from({ length: PROTEINS }, () => {
    const rows = new Float32Array(LENGTH * DIM);
    generator.normal(rows, 0, 1);
    return rows;
  }),
);
const program = buildV3(smallV3({ input_dim: DIM, d_model: WIDTH, n_heads: 2 }), NO_LOSS_OPTIONS);
const batches = Array.from({ length: 30 }, (_, step): Batch => {
  const pick = (stride: number) => Int32Array.from({ length: 4 }, (_, i) => (stride * (4 * step + i)) % PROTEINS);
  return { proteinA: pick(7), proteinB: pick(11), labels: new Float32Array(4) };
});

/** Logits of every batch, and the largest count of bytes after one. */
async function scored(engine: Engine): Promise<{ logits: number[]; most: number }> {
  const model = engine.createModel(program, store);
  model.load(initialState(program, new TorchGenerator(31)));
  const logits: number[] = [];
  let most = 0;
  for (const batch of batches) {
    logits.push(...(await model.evaluate(batch)).logits);
    most = Math.max(most, model.memory());
  }
  model.dispose();
  return { logits, most };
}

type Make = (encoderCacheBytes: number) => Engine;
const ENGINES: [string, Make][] = [
  ['typescript', (limit) => createTypescriptEngine('test', 'float32', limit)],
  ...(nativeBinary?.isas ?? []).map((isa): [string, Make] => [
    `native ${isa}`,
    (limit) =>
      createNativeEngine(nativeBinary!, {
        threads: 2,
        isa,
        precision: 'fp32',
        encoderCacheBytes: limit,
        reason: 'test',
      }),
  ]),
];

for (const [name, make] of ENGINES) {
  test(`${name}: scores are the same, and memory stays below, when nothing, half or all of the proteins are kept`, async () => {
    const all = await scored(make(PROTEINS * ENCODED));
    const none = await scored(make(0));
    const half = await scored(make((PROTEINS / 2) * ENCODED));
    for (const { logits } of [none, half]) assert.equal(logits, all.logits);
    // A batch holds at most eight proteins, kept or not.
    const kept = [half.most - none.most, all.most - none.most];
    assert.ok(kept[0] >= 0 && kept[0] <= (PROTEINS / 2) * ENCODED, `${kept[0]} bytes for half`);
    assert.ok(kept[1] > kept[0] && kept[1] <= PROTEINS * ENCODED, `${kept[1]} bytes for all`);
  });
}

test.run();
