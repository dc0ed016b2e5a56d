import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type BatchSize, measureFlopRate, measureStep } from '../../src/cli/calibrate.ts';
import { programCost } from '../../src/engine/cost.ts';
import type { EmbeddingStore, Engine, EngineModel } from '../../src/engine/engine.ts';
import { layoutOf, layoutOfSequences } from '../../src/engine/layout.ts';
import type { Program } from '../../src/model/program.ts';
import { buildV3 } from '../../src/model/v3.ts';
import { presentEngines } from '../engine/engines.ts';
import { droppingV3, NO_LOSS_OPTIONS } from '../model/v3-config.ts';

const test = suite('cli/calibrate');
const config = { ...droppingV3(0.1), input_dim: 32, d_model: 64, n_heads: 4 };
const program = buildV3(config, NO_LOSS_OPTIONS);

function flopsOf(layout: Parameters<typeof programCost>[1]): number {
  const { forwardFlops, backwardFlops } = programCost(program, layout);
  return forwardFlops + backwardFlops;
}

function stepFlops({ pairs, length }: BatchSize): number {
  const side = new Int32Array(pairs);
  return flopsOf(layoutOfSequences([side, side], Int32Array.of(length)));
}

/** An engine whose steps take `fixed` ms and one more for each GFLOP, on a clock of its own. */
function clockedEngine(fixed: number): {
  engine: Engine;
  now: () => number;
  largest: () => number;
  alive: () => number;
} {
  let [time, largest, alive] = [0, 0, 0];
  const createModel = (_: Program, store: EmbeddingStore): EngineModel => {
    alive++;
    return {
      state: () => new Map(),
      load() {},
      setOptimizer() {},
      trainStep: async ([{ batch }]) => {
        const cost = flopsOf(layoutOf(batch, store.lengths));
        largest = Math.max(largest, cost);
        time += fixed + cost / 1e9;
        return [];
      },
      dispose: () => alive--,
    } as Partial<EngineModel> as EngineModel;
  };
  const engine = { createModel } as Partial<Engine> as Engine;
  return { engine, now: () => time, largest: () => largest, alive: () => alive };
}

test('a small step is timed as it is', async () => {
  const { engine, now, alive } = clockedEngine(5);
  const size = { pairs: 4, length: 20 };
  const seconds = await measureStep(engine, program, 32, size, stepFlops(size), now);
  assert.ok(Math.abs(seconds * 1000 - (5 + stepFlops(size) / 1e9)) < 1e-6, String(seconds));
  assert.is(alive(), 0);
});

test('the time of a large step follows from two smaller ones, with what every step costs counted once', async () => {
  for (const size of [
    { pairs: 512, length: 400 },
    { pairs: 1, length: 20_000 },
  ]) {
    const { engine, now, largest } = clockedEngine(50);
    const cost = stepFlops(size);
    const seconds = await measureStep(engine, program, 32, size, cost, now);
    assert.ok(Math.abs((seconds * 1000) / (50 + cost / 1e9) - 1) < 1e-6, String(seconds));
    assert.ok(largest() <= 4e9 && cost > 4e10, `${largest()} of ${cost}`);
  }
});

test('every engine can be timed', async () => {
  for (const engine of presentEngines()) {
    const seconds = await measureStep(engine, program, 32, { pairs: 2, length: 8 }, 1e9);
    assert.ok(seconds > 0 && seconds < 1e6, `${engine.label}: ${seconds}`);
  }
});

test('measures a believable speed, even when it has hardly any time', () => {
  const rate = measureFlopRate(0);
  assert.ok(rate > 1e6 && rate < 1e13, `${rate}`);
});

test.run();
