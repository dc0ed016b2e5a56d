/** What the engine adds to its models: the choice of kernels, and the precision of its products. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { State } from '../../../src/engine/engine.ts';
import { createNativeEngine } from '../../../src/engine/native/engine.ts';
import { buildV3 } from '../../../src/model/v3.ts';
import { TorchGenerator } from '../../../src/random/torch-generator.ts';
import { initialState } from '../../../src/train/initial-state.ts';
import { assertThrowsCode } from '../../assert.ts';
import { NO_LOSS_OPTIONS, smallV3 } from '../../model/v3-config.ts';
import { memoryStore, nativeBinary } from '../engines.ts';

const test = suite('engine/native/engine');
const DIM = 40;
/** Relative L2 error of bfloat16 factors: of gradients 1.1e-2 to 2.0e-2 on models of this kind (8 bits of fraction). */
const BF16_GRADIENT_ERROR = 2e-2;
const BF16_LOGIT_ERROR = 1e-2;

function distance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  return Math.sqrt(difference / norm);
}

const flat = (state: State) => Float32Array.from([...state.values()].flatMap((values) => [...values]));

if (nativeBinary === undefined) {
  test('no binary of the native engine is here, so it is not offered', () => {
    assert.is(nativeBinary, undefined);
  });
} else {
  const binary = nativeBinary;
  const options = { threads: 2, isa: null, encoderCacheBytes: 2 ** 30, reason: 'test' };

  test('kernels that cannot run here are refused', () => {
    const wrong = { ...options, isa: 'avx1024', precision: 'fp32' } as const;
    assertThrowsCode(() => createNativeEngine(binary, wrong), 'RELIC_ENGINE_UNAVAILABLE', /RELIC_ISA/);
  });

  const rounding = binary.binding.bf16Isas();

  test('bf16 is what runs where the kernels have it, and float32 elsewhere', () => {
    for (const isa of new Set([...binary.isas, ...rounding])) {
      const { info } = createNativeEngine(binary, { ...options, isa, precision: 'bf16' });
      assert.equal([info.isa, info.precision], [isa, rounding.includes(isa) ? 'bf16' : 'fp32']);
    }
    const { info } = createNativeEngine(binary, { ...options, precision: 'bf16' });
    assert.is(info.isa, rounding[0] ?? binary.isas[0]);
  });

  test('kernels that are for bf16 alone are refused in float32', () => {
    for (const isa of rounding.filter((each) => !binary.isas.includes(each))) {
      const wrong = { ...options, isa, precision: 'fp32' } as const;
      assertThrowsCode(() => createNativeEngine(binary, wrong), 'RELIC_ENGINE_UNAVAILABLE', /in fp32.*received/s);
    }
  });

  test('bf16 factors change logits and gradients by as much as 8 bits of fraction explain, and no more', async () => {
    const generator = new TorchGenerator(7);
    const rows = [9, 31, 14, 50].map((length) => {
      const values = new Float32Array(length * DIM);
      generator.normal(values, 0, 1);
      return values;
    });
    const program = buildV3(
      smallV3({ input_dim: DIM, d_model: 64, n_heads: 4, encoder_layers: 2, cross_attn_layers: 2 }),
      NO_LOSS_OPTIONS,
    );
    const batch = { proteinA: Int32Array.of(0, 1), proteinB: Int32Array.of(2, 3), labels: Float32Array.of(1, 0) };
    const resultOf = async (precision: 'fp32' | 'bf16', isa: string | null) => {
      const engine = createNativeEngine(binary, { ...options, precision, isa });
      const model = engine.createModel(program, memoryStore(DIM, rows));
      model.load(initialState(program, new TorchGenerator(8)));
      model.setOptimizer({ type: 'sgd', beta2: 0, eps: 0, weightDecay: 0 }, () => true, false);
      const { logits } = await model.evaluate(batch);
      const settings = { step: 0, lr: 0, momentum: 0, hardExamples: null };
      await model.trainStep([{ batch, dropoutKey: [1, 2] }], settings);
      const gradients = flat(model.gradients());
      model.dispose();
      return { logits, gradients };
    };
    const exact = await resultOf('fp32', null);
    for (const isa of rounding) {
      const rounded = await resultOf('bf16', isa);
      const errors = [distance(rounded.logits, exact.logits), distance(rounded.gradients, exact.gradients)];
      assert.ok(errors[0] < BF16_LOGIT_ERROR && errors[1] < BF16_GRADIENT_ERROR, `${isa}: errors of ${errors}`);
      assert.ok(errors[1] > 1e-4, `${isa}: the factors were not rounded`);
      assert.equal(await resultOf('bf16', isa), rounded, `${isa}: the same bytes again`);
    }
  });
}

test.run();
