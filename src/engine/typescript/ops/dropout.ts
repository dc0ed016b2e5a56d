import type { DropoutOp, Dropouts, TensorId } from '../../../model/program.ts';
import { fillMaskRow } from '../../../random/philox.ts';
import type { Reals } from '../matmul.ts';
import type { Runtime } from '../runtime.ts';
import type { OpImplementation } from './op.ts';

/** y = mask * x; the mask is drawn again in backward, never stored. */
export const dropout: OpImplementation<DropoutOp> = {
  forward(op, runtime) {
    runtime.value(op.outputs[0]).fill(0, 0, runtime.size(op.outputs[0]));
    addMasked([op.attributes], op.inputs[0], runtime, runtime.value(op.inputs[0]), runtime.value(op.outputs[0]));
  },

  backward(op, { inputs: [target] }, runtime) {
    if (!target) return;
    addMasked([op.attributes], op.inputs[0], runtime, runtime.gradient(op.outputs[0]), runtime.gradientTo(target));
  },
};

/** to += masks * from, over a tensor of the shape of `shape`. */
export function addMasked(dropouts: Dropouts, shape: TensorId, runtime: Runtime, from: Reals, to: Reals): void {
  eachMaskRow(dropouts, shape, runtime, (mask, at) => {
    for (let c = 0; c < mask.length; c++) to[at + c] += mask[c] * from[at + c];
  });
}

/** Calls back for each row of a tensor with the product of its masks (cols) and the index of its first element. */
export function eachMaskRow(
  dropouts: Dropouts,
  shape: TensorId,
  runtime: Runtime,
  visit: (mask: Reals, at: number) => void,
): void {
  const [rows, cols] = [runtime.rows(shape), runtime.cols(shape)];
  const product = runtime.scratch('dropout.product', cols).subarray(0, cols);
  const mask = runtime.scratch('dropout.mask', cols);
  for (let r = 0; r < rows; r++) {
    product.fill(1);
    for (const { p, site } of dropouts) {
      fillMaskRow(mask, 0, cols, r, site, runtime.dropoutStep, runtime.dropoutKey, p);
      for (let c = 0; c < cols; c++) product[c] *= mask[c];
    }
    visit(product, r * cols);
  }
}
