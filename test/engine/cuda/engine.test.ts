/** The GPU engine through its normal adapter, on the emulator: 16-bit training against float64, and what it refuses. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createCudaEngine } from '../../../src/engine/cuda/engine.ts';
import type { Engine, EngineModel, OptimizerSettings, State } from '../../../src/engine/engine.ts';
import { openNccl } from '../../../src/engine/native/comm.ts';
import { elementCount } from '../../../src/model/program.ts';
import { buildV3, type V3Config } from '../../../src/model/v3.ts';
import { assertClose, assertRejectsCode, assertThrowsCode } from '../../assert.ts';
import { goldenDir, goldenVectors } from '../../golden.ts';
import { droppingV3, NO_LOSS_OPTIONS } from '../../model/v3-config.ts';
import { emulatedCuda, memoryStore, nativeBinary } from '../engines.ts';
import { goldenBatches } from '../golden-batch.ts';
import { SMALL_BUCKETS, STEPS, settingsOf, shardOf, trainingModel } from '../native/comm-run.ts';

const test = suite('engine/cuda');
const SGD: OptimizerSettings = { type: 'sgd', beta2: 0, eps: 0, weightDecay: 0 };
const PRECISIONS = ['bf16', 'fp16'] as const;
/**
 * Relative to float64: of all gradients together by norm, and of the loss. Measured for full-size models are 2e-2 and
 * 3e-3; here widths are 8 to 32, and few sums average the roundings out.
 */
const GRADIENT = { bf16: 4e-2, fp16: 6e-3 } as const;
const LOSS = { bf16: 1e-2, fp16: 1e-3 } as const;

interface ModelCase {
  model_config: V3Config;
  loss: { pos_weight?: number; label_smoothing?: number };
}

const DEVICE = { name: 'Card', capability: '7.5', memoryBytes: 1, usable: false };

test('a GPU that the library has no code for, or that is not there, is refused with advice', () => {
  const options = { library: '/x.so', precision: 'fp32', cublasPaths: [], ncclPaths: [], reason: '' } as const;
  const create = (device: number) => () =>
    createCudaEngine({ ...options, binding: undefined as never, devices: [DEVICE], device });
  assertThrowsCode(create(0), 'RELIC_ENGINE_UNAVAILABLE', /Card of capability 7\.5[\s\S]*RELIC_CUDA_ARCHS/);
  assertThrowsCode(create(1), 'RELIC_ENGINE_UNAVAILABLE', /received 1 GPU\(s\)/);
});

test('the emulated GPU tells what it is', () => {
  const engine = emulatedCuda('fp16');
  if (engine === undefined) return;
  assert.is(engine.info.name, 'cuda');
  assert.match(engine.info.device, /^cuda:0 emulated/);
  assert.equal([engine.info.isa, engine.info.precision], ['sm_80', 'fp16']);
});

/** A model with every rate set over proteins of 20 residues, and a batch of them. */
const DIM = 8;
const BATCH = {
  proteinA: Int32Array.of(0, 2999, 17, 17),
  proteinB: Int32Array.of(5, 2998, 17, 400),
  labels: Float32Array.of(1, 0, 1, 0),
};
function overManyProteins(engine: Engine): EngineModel {
  const rows = Array.from({ length: 3000 }, (_, i) =>
    Float32Array.from({ length: 20 * DIM }, (__, k) => Math.sin(i * 7 + k)),
  );
  const model = engine.createModel(buildV3(droppingV3(), NO_LOSS_OPTIONS), memoryStore(DIM, rows));
  const waves = ([name, values]: [string, Float32Array]) =>
    [name, values.map((_, i) => Math.sin(i + name.length) / 4)] as const;
  model.load(new Map([...model.state()].map(waves)));
  model.setOptimizer(SGD, () => true, false);
  return model;
}

test('embeddings that the device has no room for are sent with every step, to the same bytes', async () => {
  const results = [];
  for (const memoryLimit of [0, 400_000]) {
    const engine = emulatedCuda('bf16', { memoryLimit });
    if (engine === undefined) return;
    const model = overManyProteins(engine);
    const before = model.memory();
    assert.is(/sent with every batch/.test(model.describe?.() ?? ''), memoryLimit > 0);
    const taken = await model.trainSteps?.(
      [0, 1, 2].map((step) => ({
        shards: [{ batch: BATCH, dropoutKey: [1, 2] }],
        settings: { step, lr: 1e-3, momentum: 0, hardExamples: null },
      })),
    );
    results.push({ before, taken, state: model.state(), scores: await model.evaluate(BATCH) });
    model.dispose();
  }
  const [{ before: resident, ...expected }, { before: streamed, ...actual }] = results;
  assert.ok(streamed < resident - 900_000, `${streamed} and ${resident} bytes`);
  assert.is(expected.taken?.losses.length, 3);
  assert.equal(actual, expected);
});

test('scoring is float32 unless 16 bits are asked for', async () => {
  const scores = [];
  for (const options of [
    { precision: 'fp32' },
    { precision: 'bf16' },
    { precision: 'bf16', ampEvaluation: true },
  ] as const) {
    const engine = emulatedCuda(options.precision, 'ampEvaluation' in options ? { ampEvaluation: true } : {});
    if (engine === undefined) return;
    const model = overManyProteins(engine);
    scores.push((await model.evaluate(BATCH)).logits);
    model.dispose();
  }
  const [float32, bf16, asked] = scores;
  // Embeddings of 16-bit training are 16 bits for scoring, too.
  assertClose(bf16, float32, { rel: 2e-2, what: 'scores of bf16 training' });
  assertClose(asked, float32, { rel: 5e-2, what: 'scores in bf16' });
  assert.not.equal(asked, bf16);
});

test('ranks on GPUs train as one model with as many shards, and stay equal byte for byte', async () => {
  const engine = emulatedCuda('fp32');
  if (engine?.gpu === undefined) return;
  const { gpu } = engine;
  const alone = trainingModel(1, undefined, engine);
  const expected: number[] = [];
  for (let step = 0; step < STEPS; step++) {
    const losses = await alone.trainStep([shardOf(0, step), shardOf(1, step)], settingsOf(step));
    expected.push(...losses.map(({ lossSum }) => lossSum));
  }
  let hand: (id: Uint8Array) => void = () => {};
  const id = new Promise<Uint8Array>((resolve) => {
    hand = resolve;
  });
  const ranks = [0, 1].map(async (rank) => {
    const broadcast = (bytes: Uint8Array | null) => {
      if (bytes !== null) hand(bytes);
      return id;
    };
    const comm = await openNccl(nativeBinary!, { rank, size: 2, gpu, broadcast });
    assert.match(comm.description(), /^NCCL 2\.28\.7, rank/);
    const model = trainingModel(1 + rank, { comm, bucketBytes: SMALL_BUCKETS }, engine);
    await model.synchronize?.('everything');
    const losses: number[] = [];
    for (let step = 0; step < STEPS; step++) {
      const both = await model.trainStep([shardOf(rank, step)], {
        ...settingsOf(step),
        stop: rank === 1 && step === 2,
      });
      losses.push(...both.map(({ lossSum }) => lossSum));
      assert.equal(
        both.map(({ stop }) => stop),
        [false, step === 2],
      );
    }
    await model.synchronize?.('buffers');
    const state = model.state();
    assert.ok(model.collectiveSeconds!().waited > 0);
    model.dispose();
    await comm.close();
    return { losses, state };
  });
  const [first, second] = await Promise.all(ranks);
  assert.equal(first.losses, second.losses);
  for (const [name, values] of first.state) assert.equal(second.state.get(name), values, name);
  assertClose(first.losses, expected, { abs: 1e-5, rel: 1e-5, what: 'losses' });
  for (const [name, values] of alone.state()) assertClose(first.state.get(name)!, values, { abs: 1e-5, what: name });
});

test('a model on a GPU wants a communicator of GPUs', async () => {
  const engine = emulatedCuda('fp32');
  if (engine?.gpu === undefined) return;
  const none = { ...engine.gpu, ncclPaths: ['/nowhere/libnccl.so.2'] };
  const broadcast = async (bytes: Uint8Array | null) => bytes!;
  await assertRejectsCode(
    openNccl(nativeBinary!, { rank: 0, size: 1, gpu: none, broadcast }),
    'RELIC_ENGINE_UNAVAILABLE',
    /\/nowhere\/libnccl.so.2[\s\S]*RELIC_NCCL/,
  );
});

const names = readdirSync(join(goldenDir(), 'vectors')).filter((file) => file.startsWith('v3_'));
for (const precision of PRECISIONS) {
  for (const name of names.map((file) => file.replace('.safetensors', ''))) {
    test(`${name}: ${precision} training is as near float64 as its rounding allows, and scoring is float32`, async () => {
      const engine = emulatedCuda(precision);
      if (engine === undefined) return;
      const { tensors, case: description } = goldenVectors<ModelCase>(name);
      const { model_config: config, loss: settings } = description;
      const program = buildV3(config, {
        posWeight: settings.pos_weight ?? 1,
        labelSmoothing: settings.label_smoothing ?? 0,
      });
      const { store, batches } = goldenBatches(tensors, ['in.']);
      const model = engine.createModel(program, store);
      const state: State = new Map(
        program.buffers.map((b) => [b.name, new Float32Array(elementCount(b.shape)).fill(b.value)]),
      );
      for (const { name: each } of program.parameters) {
        state.set(each, tensors.get(`f32.param.${each}`)!.data as Float32Array);
      }
      model.load(state);
      model.setOptimizer(SGD, () => true, false);
      const shards = [{ batch: batches[0], dropoutKey: [0, 0] as const }];
      const [loss] = await model.trainStep(shards, { step: 0, lr: 0, momentum: 0, hardExamples: null });
      const truth = (tensors.get('f64.loss')!.data as Float64Array)[0];
      assertClose(loss.lossSum / loss.kept, truth, { rel: LOSS[precision], what: 'loss' });
      let [difference, size] = [0, 0];
      for (const [each, gradient] of model.gradients()) {
        const exact = tensors.get(`f64.grad.${each}`)!.data as Float64Array;
        for (let i = 0; i < exact.length; i++) {
          difference += (gradient[i] - exact[i]) ** 2;
          size += exact[i] ** 2;
        }
      }
      const error = Math.sqrt(difference / size);
      assert.ok(error <= GRADIENT[precision], `gradients are ${error} from float64`);
      model.dispose();
    });
  }
}

test.run();
