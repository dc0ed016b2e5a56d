/** A model's state to and from checkpoint files. */
import { assertFinite, matchState, readCheckpoint } from '../artifacts/checkpoint/load.ts';
import { writePth } from '../artifacts/checkpoint/pth.ts';
import { type NamedTensor, toFloat32 } from '../artifacts/checkpoint/tensors.ts';
import type { State } from '../engine/engine.ts';
import type { Program } from '../model/program.ts';

/**
 * The state a checkpoint holds for this program.
 *
 * @throws RELIC_CHECKPOINT_NOT_FOUND, RELIC_CHECKPOINT_MISMATCH naming every tensor that does not fit,
 *   RELIC_CHECKPOINT_INVALID for damage and for values that are not finite, _UNSAFE, _UNSUPPORTED.
 */
export function loadState(path: string, program: Program): State {
  const tensors = matchState(readCheckpoint(path), stateTensors(program), path);
  assertFinite(tensors, path);
  return new Map(tensors.map((tensor) => [tensor.name, toFloat32(tensor)]));
}

/** Writes a bare state dict in PyTorch's format and order. Throws as writePth does. */
export function saveState(path: string, program: Program, state: State): void {
  const tensors = stateTensors(program).map(({ name, shape, dtype }): NamedTensor => {
    const values = state.get(name) ?? new Float32Array(0);
    const data = dtype === 'int64' ? BigInt64Array.from(values, (value) => BigInt(Math.round(value))) : values;
    return { name, shape, dtype, data };
  });
  writePth(path, tensors);
}

/** Parameters and buffers in state-dict order. */
function stateTensors(program: Program) {
  const tensors = [
    ...program.parameters.map((parameter) => ({ ...parameter, dtype: 'float32' as const })),
    ...program.buffers,
  ];
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  return program.stateNames.flatMap((name) => byName.get(name) ?? []);
}
