/**
 * Reverse-mode differentiation of a {@link Program}: one pass over its ops from last to first yields the backward list,
 * again plain data. An engine runs it in order; nothing about gradients is decided anywhere else.
 */
import { RelicError } from '../errors.ts';
import { elementCount, type Op, type OpKind, type ParameterSlice, type Program, type TensorId } from './program.ts';

/** Where a gradient goes. The first contribution writes (`accumulate` false), later ones add. */
export interface GradientTarget<T> {
  readonly target: T;
  readonly accumulate: boolean;
}

/**
 * The backward of op `op` of the program. The gradient of a tensor has its shape and is addressed by its id.
 * `inputs` and `parameters` run parallel to those of the forward op; null where no gradient is wanted.
 */
export interface BackwardOp {
  readonly op: number;
  /** Parallel to the forward outputs; null for outputs (statistics) that carry no gradient. */
  readonly outputs: readonly (TensorId | null)[];
  readonly inputs: readonly (GradientTarget<TensorId> | null)[];
  readonly parameters: readonly (GradientTarget<ParameterSlice> | null)[];
}

export interface Gradients {
  /** In execution order. Its first op takes the gradient of `lossPerPair`, which the step provides. */
  readonly ops: readonly BackwardOp[];
  /** Parameters that receive a gradient, in program order. */
  readonly trained: readonly string[];
}

/** How many leading outputs carry a gradient; what follows are saved statistics. */
const DIFFERENTIABLE_OUTPUTS: Readonly<Record<OpKind, number>> = {
  gather: 0,
  linear: 1,
  layerNorm: 1,
  batchNorm: 1,
  activation: 1,
  dropout: 1,
  add: 1,
  stochasticDepth: 1,
  attention: 1,
  sliceRows: 1,
  concatRows: 1,
  expand: 1,
  bceLoss: 1,
  activationDropout: 1,
  dropoutAdd: 1,
  stochasticDepthAdd: 1,
  absorbedAttention: 1,
};

/**
 * The backward list for the parameters that `trainable` accepts. Ops before the first trained parameter get none, so a
 * frozen encoder costs no backward.
 * @throws RelicError RELIC_PROGRAM_INVALID when a parameter would get only a part of its gradient
 */
export function differentiate(program: Program, trainable: (name: string) => boolean): Gradients {
  const needs = tensorsThatNeedGradients(program, trainable);
  const reached = new Set<TensorId>([program.lossPerPair]);
  const writtenTensors = new Set<TensorId>();
  const writtenSlices = new Map<string, ParameterSlice>();
  const ops: BackwardOp[] = [];
  for (let index = program.ops.length - 1; index >= 0; index--) {
    const op = program.ops[index];
    const carried = op.outputs.slice(0, DIFFERENTIABLE_OUTPUTS[op.kind]);
    if (!carried.some((id) => reached.has(id) && needs.has(id))) continue;

    // An attention that reads one tensor twice writes disjoint columns of its gradient: both share one accumulate flag.
    const before = op.kind === 'attention' ? new Set(writtenTensors) : writtenTensors;
    const inputs = op.inputs.map((id) => {
      if (!needs.has(id)) return null;
      reached.add(id);
      const accumulate = before.has(id);
      writtenTensors.add(id);
      return { target: id, accumulate };
    });
    const parameters = op.parameters.map((slice) => {
      if (!trainable(slice.name)) return null;
      const key = `${slice.name}:${slice.row}:${slice.rows}`;
      const accumulate = writtenSlices.has(key);
      writtenSlices.set(key, slice);
      return { target: slice, accumulate };
    });
    ops.push({ op: index, outputs: op.outputs.map((id) => (carried.includes(id) ? id : null)), inputs, parameters });
  }
  return { ops, trained: coveredParameters(program, [...writtenSlices.values()]) };
}

/** Tensors that depend on a trained parameter. */
function tensorsThatNeedGradients(program: Program, trainable: (name: string) => boolean): Set<TensorId> {
  const needs = new Set<TensorId>();
  for (const op of program.ops as readonly Op[]) {
    if (op.inputs.some((id) => needs.has(id)) || op.parameters.some(({ name }) => trainable(name))) {
      for (const id of op.outputs.slice(0, DIFFERENTIABLE_OUTPUTS[op.kind])) needs.add(id);
    }
  }
  return needs;
}

/** The slices of a parameter must tile it: a row without a contribution would keep the last step's gradient. */
function coveredParameters(program: Program, slices: readonly ParameterSlice[]): string[] {
  const trained: string[] = [];
  for (const { name, shape } of program.parameters) {
    const parts = slices.filter((slice) => slice.name === name).sort((x, y) => x.row - y.row);
    if (parts.length === 0) continue;
    let row = 0;
    for (const part of parts) row = part.row === row ? row + part.rows : Number.NaN;
    if (row * parts[0].cols !== elementCount(shape)) {
      throw new RelicError('RELIC_PROGRAM_INVALID', `gradient of ${name}`, {
        expected: 'slices that tile the parameter once',
        received: parts.map((part) => `rows ${part.row} to ${part.row + part.rows}`).join(', '),
      });
    }
    trained.push(name);
  }
  return trained;
}
