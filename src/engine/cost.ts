/** What a step of a program costs on a batch of given lengths: counted from the program, not measured. */

import { differentiate } from '../model/autodiff.ts';
import type { Op, ParameterSlice, Program, TensorId } from '../model/program.ts';
import { parameterCount } from '../model/program.ts';
import { type Layout, rowCount, segmentsOf } from './layout.ts';

const BYTES = 4;
/** AdamW reads the gradient, and reads and writes the parameter and two moments. */
const OPTIMIZER_BYTES_PER_PARAMETER = 7 * BYTES;
/** Rough cost of one element of an op that is not a matrix product: a few operations, an exponential among them. */
const FLOPS_PER_ELEMENT = 8;

export interface OpCost {
  readonly op: Op;
  readonly rows: number;
  readonly cols: number;
  /** Floating-point operations, a multiply-add counted as two. */
  readonly forwardFlops: number;
  readonly backwardFlops: number;
  /** Bytes of float32 read and written by forward and backward, each tensor counted once an op. */
  readonly bytes: number;
}

export interface ProgramCost {
  readonly parameters: number;
  readonly forwardFlops: number;
  readonly backwardFlops: number;
  /** Memory traffic of a whole step, the optimiser included. */
  readonly bytes: number;
  readonly ops: readonly OpCost[];
}

/** Counts a training step with every parameter trained. */
export function programCost(program: Program, layout: Layout): ProgramCost {
  const backward = new Map(differentiate(program, () => true).ops.map((each) => [each.op, each]));
  const size = (id: TensorId) => rowCount(program.tensors[id].rows, layout) * program.tensors[id].cols;
  const ops = program.ops.map((op, index): OpCost => {
    const output = op.outputs[0];
    const wanted = backward.get(index);
    const inputGradients = wanted?.inputs.some((target) => target !== null) ? 1 : 0;
    const parameterGradients = wanted?.parameters.some((target) => target !== null) ? 1 : 0;
    const forwardFlops = flopsOf(op, program, layout);
    const touched = sum(op.inputs.map(size)) + sum(op.outputs.map(size)) + sum(op.parameters.map(sliceSize));
    return {
      op,
      rows: rowCount(program.tensors[output].rows, layout),
      cols: program.tensors[output].cols,
      forwardFlops,
      backwardFlops: wanted === undefined ? 0 : forwardFlops * backwardFactor(op, inputGradients, parameterGradients),
      bytes: BYTES * touched * (wanted === undefined ? 1 : 3),
    };
  });
  const parameters = parameterCount(program);
  return {
    parameters,
    forwardFlops: sum(ops.map((each) => each.forwardFlops)),
    backwardFlops: sum(ops.map((each) => each.backwardFlops)),
    bytes: sum(ops.map((each) => each.bytes)) + parameters * OPTIMIZER_BYTES_PER_PARAMETER,
    ops,
  };
}

function flopsOf(op: Op, program: Program, layout: Layout): number {
  const elements = rowCount(program.tensors[op.outputs[0]].rows, layout) * program.tensors[op.outputs[0]].cols;
  if (op.kind === 'linear') return 2 * elements * op.parameters[0].cols;
  if (op.kind === 'attention') return 4 * scoreCount(op.attributes.segments, layout) * op.attributes.width;
  return op.kind === 'layerNorm' || op.kind === 'batchNorm' || op.kind === 'activation'
    ? FLOPS_PER_ELEMENT * elements
    : elements;
}

/** Query-key pairs of an attention, of one head. */
function scoreCount(segments: Parameters<typeof segmentsOf>[0], layout: Layout): number {
  let count = 0;
  for (const { queries, keys } of segmentsOf(segments, layout)) {
    count += (queries.to - queries.from) * sum(keys.map(({ from, to }) => to - from));
  }
  return count;
}

/** A linear does one product for each gradient it is asked for; attention recomputes its scores and does four more. */
function backwardFactor(op: Op, inputGradients: number, parameterGradients: number): number {
  if (op.kind === 'linear') return inputGradients + parameterGradients;
  return op.kind === 'attention' ? 2.5 : 1;
}

function sliceSize({ rows, cols }: ParameterSlice): number {
  return rows * cols;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
