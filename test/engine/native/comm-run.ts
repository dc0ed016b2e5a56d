/** The training that `comm.test.ts` compares between ranks and one process. */
import type { Engine, EngineModel, RankOptions, Shard, State, StepSettings } from '../../../src/engine/engine.ts';
import { createNativeEngine } from '../../../src/engine/native/engine.ts';
import { buildV3 } from '../../../src/model/v3.ts';
import { initialise } from '../../../src/random/initialisers.ts';
import { TorchGenerator } from '../../../src/random/torch-generator.ts';
import { droppingV3, NO_LOSS_OPTIONS } from '../../model/v3-config.ts';
import { memoryStore, nativeBinary } from '../engines.ts';

export const STEPS = 4;
/** The first of one parameter, the others of some. */
export const SMALL_BUCKETS = [1, 2000] as const;
const DIM = 8;
const PAIRS = 4;
/** A large epsilon: gradients that are zero but for rounding would be magnified. */
const ADAMW = { type: 'adamw', beta2: 0.999, eps: 1e-3, weightDecay: 0.01 } as const;

const program = buildV3(droppingV3(), NO_LOSS_OPTIONS);
const generator = new TorchGenerator(3);
const rows = [3, 5, 2, 9, 1, 4, 6].map((length) => {
  const values = new Float32Array(length * DIM);
  generator.normal(values, 0, 1);
  return values;
});
const store = memoryStore(DIM, rows);

/**
 * With an optimizer, ready to train.
 * @param ranks those it trains with.
 */
export function trainingModel(seed: number, ranks?: RankOptions, engine = nativeEngine()): EngineModel {
  const model = engine.createModel(program, store, ranks);
  model.load(initialState(seed));
  model.setOptimizer(ADAMW, () => true, false);
  return model;
}

function nativeEngine(): Engine {
  return createNativeEngine(nativeBinary!, {
    threads: 1,
    isa: null,
    precision: 'fp32',
    encoderCacheBytes: 1e9,
    reason: 'test',
  });
}

function initialState(seed: number): State {
  const random = new TorchGenerator(seed);
  const shapes = new Map(program.parameters.map(({ name, shape }) => [name, shape]));
  return new Map(
    program.initialDraws.map(({ parameter, init }) => [parameter, initialise(init, shapes.get(parameter)!, random)]),
  );
}

export function shardOf(rank: number, step: number): Shard {
  const indices = Array.from({ length: PAIRS }, (_, i) => i);
  return {
    batch: {
      proteinA: Int32Array.from(indices, (i) => (i + rank + step) % rows.length),
      proteinB: Int32Array.from(indices, (i) => (2 * i + 3 * rank) % rows.length),
      labels: Float32Array.from(indices, (i) => (i + rank) % 2),
    },
    dropoutKey: [rank, 17],
  };
}

export function settingsOf(step: number): StepSettings {
  return { step, lr: 1e-2, momentum: 0.9, hardExamples: { keepRatio: 0.5, minKeep: 1 } };
}
