import type { ActivationDropoutOp, ActivationName, ActivationOp } from '../../../model/program.ts';
import { erf } from '../erf.ts';
import { eachMaskRow } from './dropout.ts';
import type { OpImplementation } from './op.ts';

const INVERSE_SQRT_2 = Math.SQRT1_2;
const INVERSE_SQRT_2PI = 1 / Math.sqrt(2 * Math.PI);

/** The normal distribution function. */
const cdf = (x: number) => 0.5 * (1 + erf(x * INVERSE_SQRT_2));
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

const FUNCTIONS: Record<ActivationName, (x: number) => number> = {
  gelu: (x) => x * cdf(x),
  relu: (x) => (x > 0 ? x : 0),
  silu: (x) => x * sigmoid(x),
  tanh: Math.tanh,
};

const DERIVATIVES: Record<ActivationName, (x: number) => number> = {
  gelu: (x) => cdf(x) + x * INVERSE_SQRT_2PI * Math.exp(-0.5 * x * x),
  relu: (x) => (x > 0 ? 1 : 0),
  silu: (x) => {
    const s = sigmoid(x);
    return s * (1 + x * (1 - s));
  },
  tanh: (x) => 1 - Math.tanh(x) ** 2,
};

export const activation: OpImplementation<ActivationOp> = {
  forward(op, runtime) {
    const x = runtime.value(op.inputs[0]);
    const y = runtime.value(op.outputs[0]);
    const f = FUNCTIONS[op.attributes.function];
    const size = runtime.size(op.inputs[0]);
    for (let i = 0; i < size; i++) y[i] = f(x[i]);
  },

  backward(op, backward, runtime) {
    if (!backward.inputs[0]) return;
    const x = runtime.value(op.inputs[0]);
    const dy = runtime.gradient(op.outputs[0]);
    const dx = runtime.gradientTo(backward.inputs[0]);
    const derivative = DERIVATIVES[op.attributes.function];
    const size = runtime.size(op.inputs[0]);
    for (let i = 0; i < size; i++) dx[i] += dy[i] * derivative(x[i]);
  },
};

/** y = mask f(x); dx = mask f'(x) dy. */
export const activationDropout: OpImplementation<ActivationDropoutOp> = {
  forward(op, runtime) {
    const x = runtime.value(op.inputs[0]);
    const y = runtime.value(op.outputs[0]);
    const f = FUNCTIONS[op.attributes.function];
    eachMaskRow([op.attributes], op.inputs[0], runtime, (mask, at) => {
      for (let c = 0; c < mask.length; c++) y[at + c] = mask[c] * f(x[at + c]);
    });
  },

  backward(op, backward, runtime) {
    if (!backward.inputs[0]) return;
    const x = runtime.value(op.inputs[0]);
    const dy = runtime.gradient(op.outputs[0]);
    const dx = runtime.gradientTo(backward.inputs[0]);
    const derivative = DERIVATIVES[op.attributes.function];
    eachMaskRow([op.attributes], op.inputs[0], runtime, (mask, at) => {
      for (let c = 0; c < mask.length; c++) dx[at + c] += mask[c] * dy[at + c] * derivative(x[at + c]);
    });
  },
};
