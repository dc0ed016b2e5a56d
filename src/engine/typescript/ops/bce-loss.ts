import type { BceLossOp } from '../../../model/program.ts';
import type { OpImplementation } from './op.ts';

/**
 * Binary cross-entropy with logits of each pair (contract 1.7): labels are smoothed towards 0.5, then
 * loss = (1 - y) x + (1 + (w - 1) y) (log(1 + exp(-|x|)) + max(-x, 0)), w the weight of positives.
 */
export const bceLoss: OpImplementation<BceLossOp> = {
  forward(op, runtime) {
    const x = runtime.value(op.inputs[0]);
    const loss = runtime.value(op.outputs[0]);
    const { posWeight, labelSmoothing } = op.attributes;
    for (let i = 0; i < runtime.layout.pairs; i++) {
      const y = smoothed(runtime.batch.labels[i], labelSmoothing);
      const softplus = Math.log1p(Math.exp(-Math.abs(x[i]))) + Math.max(-x[i], 0);
      loss[i] = (1 - y) * x[i] + (1 + (posWeight - 1) * y) * softplus;
    }
  },

  backward(op, backward, runtime) {
    if (!backward.inputs[0]) return;
    const x = runtime.value(op.inputs[0]);
    const dLoss = runtime.gradient(op.outputs[0]);
    const dx = runtime.gradientTo(backward.inputs[0]);
    const { posWeight, labelSmoothing } = op.attributes;
    for (let i = 0; i < runtime.layout.pairs; i++) {
      const y = smoothed(runtime.batch.labels[i], labelSmoothing);
      const negative = 1 / (1 + Math.exp(x[i]));
      dx[i] += dLoss[i] * (1 - y - (1 + (posWeight - 1) * y) * negative);
    }
  },
};

function smoothed(label: number, smoothing: number): number {
  return label * (1 - smoothing) + 0.5 * smoothing;
}
