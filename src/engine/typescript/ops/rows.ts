import type { ConcatRowsOp, ExpandOp, SliceRowsOp } from '../../../model/program.ts';
import type { OpImplementation } from './op.ts';

/** The A rows or the B rows of a token tensor. */
export const sliceRows: OpImplementation<SliceRowsOp> = {
  forward(op, runtime) {
    const from = op.attributes.side === 'A' ? 0 : runtime.layout.tokensA * runtime.cols(op.outputs[0]);
    const x = runtime.value(op.inputs[0]);
    runtime.value(op.outputs[0]).set(x.subarray(from, from + runtime.size(op.outputs[0])));
  },

  backward(op, backward, runtime) {
    if (!backward.inputs[0]) return;
    const from = op.attributes.side === 'A' ? 0 : runtime.layout.tokensA * runtime.cols(op.outputs[0]);
    const dy = runtime.gradient(op.outputs[0]);
    const dx = runtime.gradientTo(backward.inputs[0]);
    const size = runtime.size(op.outputs[0]);
    for (let i = 0; i < size; i++) dx[from + i] += dy[i];
  },
};

/** A rows, then B rows. */
export const concatRows: OpImplementation<ConcatRowsOp> = {
  forward(op, runtime) {
    const y = runtime.value(op.outputs[0]);
    const sizeA = runtime.size(op.inputs[0]);
    y.set(runtime.value(op.inputs[0]).subarray(0, sizeA));
    y.set(runtime.value(op.inputs[1]).subarray(0, runtime.size(op.inputs[1])), sizeA);
  },

  backward(op, backward, runtime) {
    const dy = runtime.gradient(op.outputs[0]);
    let from = 0;
    op.inputs.forEach((id, side) => {
      const target = backward.inputs[side];
      const size = runtime.size(id);
      if (target) {
        const d = runtime.gradientTo(target);
        for (let i = 0; i < size; i++) d[i] += dy[from + i];
      }
      from += size;
    });
  },
};

/** One parameter as the row of every pair. */
export const expand: OpImplementation<ExpandOp> = {
  forward(op, runtime) {
    const { data } = runtime.parameter(op.parameters[0]);
    const y = runtime.value(op.outputs[0]);
    const cols = runtime.cols(op.outputs[0]);
    for (let r = 0; r < runtime.layout.pairs; r++) y.set(data, r * cols);
  },

  backward(op, backward, runtime) {
    if (!backward.parameters[0]) return;
    const dy = runtime.gradient(op.outputs[0]);
    const { data } = runtime.parameterGradientTo(backward.parameters[0]);
    const cols = runtime.cols(op.outputs[0]);
    for (let r = 0, i = 0; r < runtime.layout.pairs; r++) for (let c = 0; c < cols; c++, i++) data[c] += dy[i];
  },
};
