import type { DropoutOp, TensorId } from '../../../model/program.ts';
import { fillMaskRow } from '../../../random/philox.ts';
import type { Reals } from '../matmul.ts';
import type { Runtime } from '../runtime.ts';
import type { OpImplementation } from './op.ts';

/** y = mask * x; the mask is drawn again in backward, never stored. */
export const dropout: OpImplementation<DropoutOp> = {
  forward(op, runtime) {
    runtime.value(op.outputs[0]).fill(0, 0, runtime.size(op.outputs[0]));
    addMasked(op, op.inputs[0], runtime, runtime.value(op.inputs[0]), runtime.value(op.outputs[0]));
  },

  backward(op, backward, runtime) {
    if (!backward.inputs[0]) return;
    addMasked(op, op.inputs[0], runtime, runtime.gradient(op.outputs[0]), runtime.gradientTo(backward.inputs[0]));
  },
};

function addMasked(op: DropoutOp, shape: TensorId, runtime: Runtime, from: Reals, to: Reals): void {
  const [rows, cols] = [runtime.rows(shape), runtime.cols(shape)];
  const mask = runtime.scratch('dropout.mask', cols);
  const { p, site } = op.attributes;
  for (let r = 0, i = 0; r < rows; r++) {
    fillMaskRow(mask, 0, cols, r, site, runtime.dropoutStep, runtime.dropoutKey, p);
    for (let c = 0; c < cols; c++, i++) to[i] += mask[c] * from[i];
  }
}
