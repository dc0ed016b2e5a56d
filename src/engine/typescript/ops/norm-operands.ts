import type { BackwardOp } from '../../../model/autodiff.ts';
import type { BatchNormOp, LayerNormOp } from '../../../model/program.ts';
import type { Reals } from '../matmul.ts';
import type { Runtime } from '../runtime.ts';

/** The matrices of a normalisation: x and y (rows, cols), weight and bias (cols). */
export interface NormOperands {
  readonly rows: number;
  readonly cols: number;
  readonly x: Reals;
  readonly y: Reals;
  readonly stats: Reals;
  readonly weight: Reals;
  readonly bias: Reals;
}

export function normOperands(op: LayerNormOp | BatchNormOp, runtime: Runtime): NormOperands {
  const [weight, bias] = op.parameters.map((slice) => runtime.parameter(slice).data);
  return {
    rows: runtime.rows(op.inputs[0]),
    cols: runtime.cols(op.inputs[0]),
    x: runtime.value(op.inputs[0]),
    y: runtime.value(op.outputs[0]),
    stats: runtime.value(op.outputs[1]),
    weight,
    bias,
  };
}

/** The gradient that comes in, and where those of x, weight and bias are added, null where none is wanted. */
export function normGradients(op: LayerNormOp | BatchNormOp, backward: BackwardOp, runtime: Runtime) {
  const [toX] = backward.inputs;
  const [dWeight, dBias] = backward.parameters.map((target) => target && runtime.parameterGradientTo(target).data);
  return { dy: runtime.gradient(op.outputs[0]), dx: toX && runtime.gradientTo(toX), dWeight, dBias };
}
