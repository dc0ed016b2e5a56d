import type { DropoutAddOp, StochasticDepthAddOp } from '../../../model/program.ts';
import type { Reals } from '../matmul.ts';
import { addMasked, eachMaskRow } from './dropout.ts';
import type { OpImplementation } from './op.ts';
import { eachSequence } from './stochastic-depth.ts';

/** out = x + masks y. */
export const dropoutAdd: OpImplementation<DropoutAddOp> = {
  forward(op, runtime) {
    const [x, y] = op.inputs;
    const out = runtime.value(op.outputs[0]);
    out.set(runtime.value(x).subarray(0, runtime.size(x)));
    addMasked(op.attributes.dropouts, y, runtime, runtime.value(y), out);
  },

  backward(op, { inputs: [toX, toY] }, runtime) {
    const dOut = runtime.gradient(op.outputs[0]);
    if (toX) {
      const dx = runtime.gradientTo(toX);
      for (let i = 0; i < runtime.size(op.inputs[0]); i++) dx[i] += dOut[i];
    }
    if (toY) addMasked(op.attributes.dropouts, op.inputs[1], runtime, dOut, runtime.gradientTo(toY));
  },
};

/** out = x + s (h + masks y - x). */
export const stochasticDepthAdd: OpImplementation<StochasticDepthAddOp> = {
  forward(op, runtime) {
    const [x, h, y] = op.inputs.map((id) => runtime.value(id));
    const out = runtime.value(op.outputs[0]);
    eachMaskRow(op.attributes.dropouts, op.inputs[2], runtime, (mask, at) => {
      for (let c = 0; c < mask.length; c++) out[at + c] = h[at + c] + mask[c] * y[at + c] - x[at + c];
    });
    eachSequence(op, runtime, (from, to, s) => {
      for (let i = from; i < to; i++) out[i] = x[i] + s * out[i];
    });
  },

  backward(op, { inputs: [toX, toH, toY] }, runtime) {
    const dOut = runtime.gradient(op.outputs[0]);
    const scaled = runtime.scratch('stochasticDepthAdd.scaled', runtime.size(op.outputs[0]));
    eachSequence(op, runtime, (from, to, s) => {
      for (let i = from; i < to; i++) scaled[i] = s * dOut[i];
    });
    const addAll = (d: Reals, term: (i: number) => number) => {
      for (let i = 0; i < runtime.size(op.outputs[0]); i++) d[i] += term(i);
    };
    if (toX) addAll(runtime.gradientTo(toX), (i) => dOut[i] - scaled[i]);
    if (toH) addAll(runtime.gradientTo(toH), (i) => scaled[i]);
    if (toY) addMasked(op.attributes.dropouts, op.inputs[2], runtime, scaled, runtime.gradientTo(toY));
  },
};
