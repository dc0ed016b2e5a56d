/** What the native engine adds to a model: checks at its boundary, errors with their callers, mapped stores, threads. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { writePackedStore } from '../../../src/artifacts/packed-store.ts';
import type { StoreDtype } from '../../../src/artifacts/store-format.ts';
import { PackedStore } from '../../../src/data/store.ts';
import type { Batch, EmbeddingStore, OptimizerSettings, State } from '../../../src/engine/engine.ts';
import { BINDING_EXPORTS, HANDLE_METHODS, type NativeModelHandle } from '../../../src/engine/native/binding.ts';
import { encodeGradients, encodeProgram } from '../../../src/engine/native/encode.ts';
import { createNativeEngine } from '../../../src/engine/native/engine.ts';
import { createTypescriptEngine } from '../../../src/engine/typescript/engine.ts';
import { differentiate } from '../../../src/model/autodiff.ts';
import { buildV3 } from '../../../src/model/v3.ts';
import { initialise } from '../../../src/random/initialisers.ts';
import { TorchGenerator } from '../../../src/random/torch-generator.ts';
import { assertClose, assertRejectsCode, assertThrowsCode } from '../../assert.ts';
import { droppingV3, NO_LOSS_OPTIONS, smallV3 } from '../../model/v3-config.ts';
import { memoryStore, nativeBinary } from '../engines.ts';

const test = suite('engine/native/model');
const DIM = 8;
const ADAMW: OptimizerSettings = { type: 'adamw', beta2: 0.999, eps: 1e-8, weightDecay: 0.01 };
const STEP = { step: 0, lr: 1e-2, momentum: 0.9, hardExamples: null };
const RAW_STEP = { step: 0, lr: 1e-2, momentum: 0.9, stop: false, hardExamples: false, keepRatio: 1, minKeep: 1 };
const work = mkdtempSync(join(tmpdir(), 'relic-'));
test.after(() => rmSync(work, { recursive: true, force: true }));

const generator = new TorchGenerator(3);
const rows = [3, 5, 2, 9, 1, 4].map((length) => {
  const values = new Float32Array(length * DIM);
  generator.normal(values, 0, 1);
  return values;
});
const store = memoryStore(DIM, rows);
const program = buildV3(smallV3(), NO_LOSS_OPTIONS);
const batch: Batch = {
  proteinA: Int32Array.of(0, 1, 2, 5),
  proteinB: Int32Array.of(3, 4, 2, 0),
  labels: Float32Array.of(1, 0, 1, 0),
};
const shard = { batch, dropoutKey: [1, 2] as const };

function initialState(config = smallV3()): State {
  const random = new TorchGenerator(5);
  const { parameters, initialDraws } = buildV3(config, NO_LOSS_OPTIONS);
  const shapes = new Map(parameters.map(({ name, shape }) => [name, shape]));
  return new Map(
    initialDraws.map(({ parameter, init }) => [parameter, initialise(init, shapes.get(parameter)!, random)]),
  );
}

if (nativeBinary === undefined) {
  test('no binary of the native engine is here, so it is not offered', () => {
    assert.is(nativeBinary, undefined);
  });
} else {
  const { binding, isas } = nativeBinary;
  const engine = createNativeEngine(nativeBinary, {
    threads: 2,
    isa: null,
    precision: 'fp32',
    encoderCacheBytes: 2 ** 30,
    reason: 'test',
  });

  const onIsa = (isa: string) =>
    createNativeEngine(nativeBinary!, {
      threads: 2,
      isa,
      precision: 'fp32',
      encoderCacheBytes: 2 ** 30,
      reason: 'test',
    });
  const rawStore = { dim: DIM, lengths: store.lengths, rows: new Float32Array(24 * DIM) };
  const rawBatch = { ...batch, key: Uint32Array.of(1, 2) };
  const rawOptions = {
    program: encodeProgram(program),
    store: rawStore,
    threads: 1,
    isa: '',
    bf16: false,
    encoderCacheBytes: 2 ** 30,
  };
  const gradients = encodeGradients(
    program,
    differentiate(program, () => true),
  );
  const rawModel = (): NativeModelHandle => {
    const model = binding.createModel(rawOptions);
    model.setOptimizer({ type: 0, beta2: 0.999, eps: 1e-8, weightDecay: 0 }, gradients, false);
    return model;
  };
  const codeOf = (call: () => unknown): string => {
    try {
      call();
    } catch (error) {
      assert.instance(error, Error);
      return (error as { code: string }).code;
    }
    return 'nothing was thrown';
  };
  const rejectionOf = (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      () => 'fulfilled',
      ({ code }) => code,
    );

  test('the typed mirror names what the binary exports, and no more', () => {
    assert.equal(Object.keys(binding).sort(), [...BINDING_EXPORTS].sort());
    const prototype = Object.getPrototypeOf(rawModel());
    const methods = Object.getOwnPropertyNames(prototype).filter((name) => name !== 'constructor');
    assert.equal(methods.sort(), [...HANDLE_METHODS].sort());
  });

  test('a model of wrong arguments is refused by code', () => {
    const make = (options: object) => () => binding.createModel({ ...rawOptions, ...options } as never);
    for (const options of [
      { program: [1, 2] },
      { program: new Float32Array(4) },
      { threads: 0 },
      { threads: 1.5 },
      { threads: '2' },
      { isa: null },
      { encoderCacheBytes: -1 },
      { encoderCacheBytes: undefined },
      { store: null },
      { store: { ...rawStore, dim: 0 } },
      { store: { ...rawStore, lengths: new Float32Array(6) } },
      { store: { ...rawStore, lengths: Int32Array.of(-1, 2) } },
      { store: { ...rawStore, rows: new Float32Array(24 * DIM - 1) } },
      { store: { ...rawStore, path: 7 } },
      { store: { ...rawStore, path: '/x', dataStart: -1, dtype: 0, rowOffsets: new Float64Array(7) } },
      { store: { ...rawStore, path: '/x', dataStart: 0, dtype: 3, rowOffsets: new Float64Array(7) } },
      { store: { ...rawStore, path: '/x', dataStart: 0, dtype: 0, rowOffsets: new Float64Array(6) } },
    ]) {
      assert.is(codeOf(make(options)), 'RELIC_ENGINE_CALL', JSON.stringify(options));
    }
    assert.is(
      codeOf(() => (binding.createModel as unknown as () => void)()),
      'RELIC_ENGINE_CALL',
    );
    assert.is(codeOf(make({ isa: 'sse9' })), 'RELIC_ENGINE_UNAVAILABLE');
    assert.is(codeOf(make({ program: Float64Array.of(1, 2, 3) })), 'RELIC_PROGRAM_INVALID');
    for (let cut = 0; cut < rawOptions.program.length; cut += 7) {
      assert.is(codeOf(make({ program: rawOptions.program.slice(0, cut) })), 'RELIC_PROGRAM_INVALID', `cut at ${cut}`);
    }
    const nowhere = { ...rawStore, path: '/does/not/exist', dataStart: 0, dtype: 0, rowOffsets: new Float64Array(7) };
    assert.is(codeOf(make({ store: nowhere })), 'RELIC_IO');
  });

  test('state of a wrong place, kind or length is refused by code', () => {
    const model = rawModel();
    const right = new Float32Array(model.stateLength(0));
    model.writeState(0, right);
    for (const [index, values] of [
      [-1, right],
      [model.stateCount(), right],
      [0.5, right],
      ['0', right],
      [0, new Float32Array(right.length + 1)],
      [0, new Float64Array(right.length)],
      [0, [...right]],
      [0, undefined],
    ]) {
      const args = [index, values] as never as [number, Float32Array];
      for (const method of ['writeState', 'readState', 'readGradient'] as const) {
        assert.is(
          codeOf(() => model[method](...args)),
          'RELIC_ENGINE_CALL',
          `${method} ${index}`,
        );
      }
    }
    model.dispose();
  });

  test('moments of a wrong length or count are refused by code, those of what is not trained are not there', () => {
    const model = rawModel();
    const right = new Float32Array(model.stateLength(0));
    const short = right.subarray(1);
    for (const [first, second] of [
      [short, right],
      [right, short],
      [right, new Float64Array(right.length)],
    ] as never as [Float32Array, Float32Array][]) {
      assert.is(
        codeOf(() => model.readMoments(0, first, second)),
        'RELIC_ENGINE_CALL',
      );
    }
    for (const steps of [-1, 0.5, Number.NaN, 2 ** 53]) {
      assert.is(
        codeOf(() => model.writeMoments(0, right, right, steps)),
        'RELIC_ENGINE_CALL',
      );
    }
    assert.is(model.writeMoments(0, right, right, 2), true);
    assert.is(model.readMoments(0, right, right), 2);
    const none = encodeGradients(
      program,
      differentiate(program, (name) => name !== program.stateNames[0]),
    );
    model.setOptimizer({ type: 1, beta2: 0, eps: 0, weightDecay: 0 }, none, false);
    assert.is(model.readMoments(0, right, right), -1);
    assert.is(model.writeMoments(0, right, right, 2), false);
    model.dispose();
  });

  test('batches of a wrong kind, length or index reject by code', async () => {
    const model = rawModel();
    for (const [wrong, code] of [
      [{ proteinA: batch.labels }, 'RELIC_ENGINE_CALL'],
      [{ proteinA: Int32Array.of(0) }, 'RELIC_ENGINE_CALL'],
      [{ labels: [1, 0, 1, 0] }, 'RELIC_ENGINE_CALL'],
      [{ key: Uint32Array.of(1) }, 'RELIC_ENGINE_CALL'],
      [{ key: [1, 2] }, 'RELIC_ENGINE_CALL'],
      [{ proteinB: Int32Array.of(0, 1, 2, 6) }, 'RELIC_BATCH_INVALID'],
      [{ proteinB: Int32Array.of(0, 1, 2, -1) }, 'RELIC_BATCH_INVALID'],
    ] as [object, string][]) {
      const changed = { ...rawBatch, ...wrong };
      assert.is(await rejectionOf(model.trainStep([changed], RAW_STEP)), code, JSON.stringify(wrong));
      if (!('key' in wrong)) assert.is(await rejectionOf(model.evaluate(changed)), code, JSON.stringify(wrong));
    }
    const none = { proteinA: new Int32Array(0), proteinB: new Int32Array(0), labels: new Float32Array(0) };
    assert.is(await rejectionOf(model.evaluate(none)), 'RELIC_BATCH_INVALID');
    assert.is(await rejectionOf(model.trainStep([], RAW_STEP)), 'RELIC_ENGINE_CALL');
    for (const settings of [
      { step: -1 },
      { step: 2 ** 32 },
      { lr: null },
      { stop: 1 },
      { hardExamples: 1 },
      { minKeep: 0.5 },
    ]) {
      const changed = { ...RAW_STEP, ...settings } as typeof RAW_STEP;
      assert.is(await rejectionOf(model.trainStep([rawBatch], changed)), 'RELIC_ENGINE_CALL');
    }
    model.dispose();
  });

  test('a damaged backward list is refused by code', () => {
    const model = rawModel();
    const settings = { type: 0, beta2: 0.999, eps: 1e-8, weightDecay: 0 } as const;
    for (let cut = 0; cut < gradients.length; cut += 5) {
      const code = codeOf(() => model.setOptimizer(settings, gradients.slice(0, cut), false));
      assert.is(code, 'RELIC_PROGRAM_INVALID', `cut at ${cut}`);
    }
    assert.is(
      codeOf(() => model.setOptimizer({ ...settings, type: 2 as 1 }, gradients, false)),
      'RELIC_ENGINE_CALL',
    );
    model.dispose();
  });

  test('a method of one object called on another throws', () => {
    const { memory } = rawModel();
    assert.throws(
      () => memory.call({} as NativeModelHandle),
      (error: unknown) => error instanceof Error,
    );
  });

  test('calls that overlap are refused by code, and leave the running one alone', async () => {
    const model = engine.createModel(program, store);
    model.load(initialState());
    model.setOptimizer(ADAMW, () => true, false);
    const running = model.trainStep([shard], STEP);
    await assertRejectsCode(model.trainStep([shard], STEP), 'RELIC_ENGINE_BUSY');
    await assertRejectsCode(model.evaluate(batch), 'RELIC_ENGINE_BUSY').catch(() => undefined);
    assert.is((await running)[0].kept, 4);
    const second = model.evaluate(batch);
    for (const call of [() => model.state(), () => model.load(initialState()), () => model.gradients()]) {
      assertThrowsCode(call, 'RELIC_ENGINE_BUSY');
    }
    assertThrowsCode(() => model.setOptimizer(ADAMW, () => true, true), 'RELIC_ENGINE_BUSY');
    assert.is((await second).logits.length, 4);
    model.dispose();
  });

  test('dispose during a step rejects it, and frees everything when it ends', async () => {
    const model = engine.createModel(program, store);
    model.load(initialState());
    model.setOptimizer(ADAMW, () => true, false);
    const running = model.trainStep([shard], STEP);
    model.dispose();
    await assertRejectsCode(running, 'RELIC_ENGINE_DISPOSED');
    assert.is(model.memory(), 0);
  });

  test('a failure of native code has the stack of its caller', async () => {
    const model = engine.createModel(program, store);
    const state = initialState();
    state.get('output_head.layers.8.bias')![0] = Number.NaN;
    model.load(state);
    model.setOptimizer(ADAMW, () => true, false);
    const namedCaller = async () => {
      await model.trainStep([shard], STEP);
    };
    const error = await assertRejectsCode(namedCaller(), 'RELIC_NOT_FINITE');
    assert.match(error.stack ?? '', /namedCaller.*model\.test\.ts/);
    model.dispose();
  });

  test('memory() counts what a model holds, its copy of the rows included', () => {
    const model = rawModel();
    const parameters = program.parameters.reduce((total, { shape }) => total + shape.reduce((a, b) => a * b, 1), 0);
    assert.ok(model.memory() >= 4 * parameters + rawStore.rows.byteLength, String(model.memory()));
    model.dispose();
    assert.is(model.memory(), 0);
  });

  for (const dtype of ['float32', 'float16', 'bfloat16'] as StoreDtype[]) {
    test(`a packed store of ${dtype} is mapped, and gives what its rows give, truncation included`, async () => {
      const path = join(work, `${dtype}.safetensors`);
      writePackedStore(path, {
        dim: DIM,
        dtype,
        source: 'test',
        fingerprint: 'x',
        ids: rows.map((_, i) => `P${i}`),
        lengthOf: (id) => rows[Number(id.slice(1))].length / DIM,
        rowsOf: (id) => rows[Number(id.slice(1))],
      });
      const packed = PackedStore.open(path, { maxLength: 4 });
      const copied: EmbeddingStore = {
        dim: DIM,
        count: packed.count,
        lengths: packed.lengths,
        read: (index, out, at) => packed.read(index, out, at),
      };
      const logits = [];
      for (const each of [packed, copied]) {
        const model = engine.createModel(program, each);
        model.load(initialState());
        logits.push((await model.evaluate(batch)).logits);
        model.dispose();
      }
      packed.close();
      assert.equal(logits[0], logits[1]);
    });
  }

  test('twenty steps with every dropout on stay with the TypeScript engine, whatever the kernels', async () => {
    const config = droppingV3();
    const losses = async (on: ReturnType<typeof createTypescriptEngine>) => {
      const model = on.createModel(buildV3(config, NO_LOSS_OPTIONS), store);
      model.load(initialState(config));
      model.setOptimizer(ADAMW, () => true, false);
      const seen = [];
      for (let step = 0; step < 20; step++) {
        seen.push((await model.trainStep([shard], { ...STEP, lr: 1e-3, step }))[0].lossSum / 4);
      }
      model.dispose();
      return seen;
    };
    const truth = await losses(createTypescriptEngine('truth'));
    for (const isa of isas) {
      const actual = await losses(onIsa(isa));
      // The bars of the first step and of twenty: rounding grows as steps feed on each other.
      assertClose(actual[0], truth[0], { abs: 1e-5, what: `${isa}: loss of the first step` });
      assertClose(actual, truth, { abs: 1e-3, what: `${isa}: losses` });
    }
  });
}

test.run();
