/** How long a run will take, from something short that is timed on this machine. */
import type { Config } from '../config/schema.ts';
import { programCost } from '../engine/cost.ts';
import type { EmbeddingStore, Engine, EngineModel } from '../engine/engine.ts';
import { layoutOfSequences } from '../engine/layout.ts';
import { selectEngine } from '../engine/select.ts';
import { matmul, operand } from '../engine/typescript/matmul.ts';
import type { Program } from '../model/program.ts';
import { buildModel } from '../model/registry.ts';
import type { Plan } from '../stages/plan.ts';
import { flops } from './table.ts';

export interface Estimate {
  readonly seconds: number;
  /** What was timed. */
  readonly from: string;
}

/** About as wide as the model's own products. */
const SIZE = 192;
/** What a fast engine does in some tenths of a second; a larger step is not timed, but two smaller ones. */
const LARGEST_STEP = 4e9;
/** For how long steps of one size are repeated. */
const STEPS_MS = 100;

/** Takes about half a second. The run is assumed to spend its time on arithmetic, all at the speed of a training step. */
export async function estimateRun(plan: Plan, config: Config): Promise<Estimate> {
  if (plan.engine.name === 'typescript') {
    const rate = measureFlopRate();
    return { seconds: plan.flops.run / rate, from: `a matrix product timed here at ${flops(rate)}/s` };
  }
  const { model_config: model, training_config: training, device_config: device, data_config: data } = config;
  const { pos_weight: posWeight, label_smoothing: labelSmoothing } = training.loss;
  const program = buildModel(model.model, model, { posWeight, labelSmoothing });
  const length = Math.max(1, Math.round(plan.splits.lengths?.mean || data.max_sequence_length));
  const batch = { pairs: training.batch_size, length };
  const seconds = await measureStep(await selectEngine(device), program, model.input_dim, batch, plan.flops.trainStep);
  return {
    seconds: (seconds * plan.flops.run) / plan.flops.trainStep,
    from: 'training steps of this model timed here',
  };
}

/** Pairs of invented proteins that are all `length` residues long. */
export interface BatchSize {
  readonly pairs: number;
  readonly length: number;
}

/**
 * Seconds of a training step of `stepFlops` floating-point operations. A small step is timed at its own size. For a large
 * one two smaller ones are, and a line through them tells what every step costs apart from its arithmetic, such as the
 * optimizer.
 */
export async function measureStep(
  engine: Engine,
  program: Program,
  dim: number,
  batch: BatchSize,
  stepFlops: number,
  now = () => performance.now(),
): Promise<number> {
  const larger = withinBudget(program, batch);
  const cost = flopsOf(program, larger);
  const time = (size: BatchSize) => timeStep(engine, program, dim, size, now);
  const seconds = await time(larger);
  if (larger.pairs === batch.pairs && larger.length === batch.length) return (seconds * stepFlops) / cost;
  const smaller = halved(larger);
  const smallerCost = flopsOf(program, smaller);
  // Noise must not make arithmetic free.
  const slope = Math.max((seconds - (await time(smaller))) / (cost - smallerCost), (0.02 * seconds) / cost);
  return seconds + slope * (stepFlops - cost);
}

/** Fewer pairs, then shorter ones, until a step of them is small enough to be timed. */
function withinBudget(program: Program, batch: BatchSize): BatchSize {
  let size = batch;
  while (flopsOf(program, size) > LARGEST_STEP && size.pairs * size.length > 4) size = halved(size);
  return size;
}

function halved({ pairs, length }: BatchSize): BatchSize {
  return pairs > 1 ? { pairs: pairs >> 1, length } : { pairs, length: Math.max(1, length >> 1) };
}

function flopsOf(program: Program, { pairs, length }: BatchSize): number {
  const side = new Int32Array(pairs);
  const { forwardFlops, backwardFlops } = programCost(program, layoutOfSequences([side, side], Int32Array.of(length)));
  return forwardFlops + backwardFlops;
}

/** The mean of the steps that fit in the time, after one that readies memory and threads. */
async function timeStep(
  engine: Engine,
  program: Program,
  dim: number,
  size: BatchSize,
  now: () => number,
): Promise<number> {
  const model = engine.createModel(program, inventedStore(dim, size));
  try {
    const state = model.state();
    for (const values of state.values()) values.fill(0.01);
    model.load(state);
    model.setOptimizer({ type: 'adamw', beta2: 0.999, eps: 1e-8, weightDecay: 0 }, () => true, false);
    await step(model, size, 0);
    const started = now();
    let steps = 0;
    do await step(model, size, ++steps);
    while (now() - started < STEPS_MS);
    return (now() - started) / 1000 / steps;
  } finally {
    model.dispose();
  }
}

function inventedStore(dim: number, { pairs, length }: BatchSize): EmbeddingStore {
  const lengths = new Int32Array(2 * pairs).fill(length);
  const read = (_: number, out: Float32Array, at: number) => void out.fill(0.5, at, at + length * dim);
  return { dim, count: 2 * pairs, lengths, read };
}

function step(model: EngineModel, { pairs }: BatchSize, number: number): Promise<unknown> {
  const proteinA = Int32Array.from({ length: pairs }, (_, i) => i);
  const batch = { proteinA, proteinB: proteinA.map((i) => pairs + i), labels: new Float32Array(pairs) };
  return model.trainStep([{ batch, dropoutKey: [0, 0] }], {
    step: number,
    lr: 1e-6,
    momentum: 0.9,
    hardExamples: null,
  });
}

/**
 * Floating-point operations a second of the TypeScript engine's matrix product, measured.
 * @param milliseconds to measure for, after a first product that lets the compiler warm up.
 */
export function measureFlopRate(milliseconds = 200): number {
  const square = () => operand(new Float32Array(SIZE * SIZE).fill(0.5), SIZE);
  const [left, right, out] = [square(), square(), square()];
  const multiply = () => matmul(SIZE, SIZE, SIZE, left, right, out, false);
  multiply();
  let products = 0;
  const started = performance.now();
  let elapsed = 0;
  do {
    multiply();
    products++;
    elapsed = performance.now() - started;
  } while (elapsed < milliseconds);
  return (products * 2 * SIZE ** 3 * 1000) / elapsed;
}
