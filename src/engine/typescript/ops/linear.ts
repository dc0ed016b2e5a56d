import type { LinearOp } from '../../../model/program.ts';
import { matmul } from '../matmul.ts';
import type { OpImplementation } from './op.ts';

/** y = x W^T + b; dx = dy W, dW = dy^T x, db = column sums of dy. */
export const linear: OpImplementation<LinearOp> = {
  forward(op, runtime) {
    const [weight, bias] = op.parameters;
    const x = runtime.matrix(op.inputs[0]);
    const y = runtime.matrix(op.outputs[0]);
    const rows = runtime.rows(op.inputs[0]);
    matmul(
      rows,
      weight.rows,
      weight.cols,
      x,
      { ...runtime.parameter(weight), transposed: true },
      y,
      false,
      bias === undefined ? null : runtime.parameter(bias),
    );
  },

  backward(op, backward, runtime) {
    const [weight] = op.parameters;
    const rows = runtime.rows(op.inputs[0]);
    const dy = runtime.gradientMatrix(op.outputs[0]);
    const [dx] = backward.inputs;
    const [dWeight, dBias] = backward.parameters;
    if (dx) {
      const out = runtime.gradientMatrix(dx.target);
      matmul(rows, weight.cols, weight.rows, dy, runtime.parameter(weight), out, dx.accumulate);
    }
    if (dWeight) {
      const out = runtime.parameterGradientTo(dWeight);
      matmul(weight.rows, weight.cols, rows, { ...dy, transposed: true }, runtime.matrix(op.inputs[0]), out, true);
    }
    if (dBias) {
      const { data, offset } = runtime.parameterGradientTo(dBias);
      for (let r = 0, i = 0; r < rows; r++) for (let c = 0; c < weight.rows; c++, i++) data[offset + c] += dy.data[i];
    }
  },
};
