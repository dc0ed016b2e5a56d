/** The values a model starts from. */
import type { State } from '../engine/engine.ts';
import { elementCount, type Program } from '../model/program.ts';
import { initialise } from '../random/initialisers.ts';
import type { TorchGenerator } from '../random/torch-generator.ts';

/** Draws every parameter in the original's order, so that a seed gives the weights it gives in PyTorch. */
export function initialState(program: Program, generator: TorchGenerator): State {
  const shapes = new Map(program.parameters.map(({ name, shape }) => [name, shape]));
  const values: State = new Map(
    program.buffers.map(({ name, shape, value }) => [name, new Float32Array(elementCount(shape)).fill(value)]),
  );
  for (const { parameter, init } of program.initialDraws) {
    values.set(parameter, initialise(init, shapes.get(parameter) ?? [], generator));
  }
  return new Map(program.stateNames.map((name) => [name, values.get(name) ?? new Float32Array(0)]));
}
