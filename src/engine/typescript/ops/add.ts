import type { AddOp } from '../../../model/program.ts';
import type { OpImplementation } from './op.ts';

/** y = a + b: a residual connection. */
export const add: OpImplementation<AddOp> = {
  forward(op, runtime) {
    const a = runtime.value(op.inputs[0]);
    const b = runtime.value(op.inputs[1]);
    const y = runtime.value(op.outputs[0]);
    const size = runtime.size(op.outputs[0]);
    for (let i = 0; i < size; i++) y[i] = a[i] + b[i];
  },

  backward(op, backward, runtime) {
    const dy = runtime.gradient(op.outputs[0]);
    const size = runtime.size(op.outputs[0]);
    for (const target of backward.inputs) {
      if (!target) continue;
      const d = runtime.gradientTo(target);
      for (let i = 0; i < size; i++) d[i] += dy[i];
    }
  },
};
