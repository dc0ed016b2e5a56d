import type { StochasticDepthAddOp, StochasticDepthOp } from '../../../model/program.ts';
import { fillMaskRow } from '../../../random/philox.ts';
import type { Reals } from '../matmul.ts';
import type { Runtime } from '../runtime.ts';
import type { OpImplementation } from './op.ts';

/** out = x + s (y - x), where y is what the layer made of x and s is 0 or 1/(1-p), one draw a sequence. */
export const stochasticDepth: OpImplementation<StochasticDepthOp> = {
  forward(op, runtime) {
    const x = runtime.value(op.inputs[0]);
    const y = runtime.value(op.inputs[1]);
    const out = runtime.value(op.outputs[0]);
    eachSequence(op, runtime, (from, to, s) => {
      for (let i = from; i < to; i++) out[i] = x[i] + s * (y[i] - x[i]);
    });
  },

  backward(op, backward, runtime) {
    const dOut = runtime.gradient(op.outputs[0]);
    const addScaled = (d: Reals, scale: (s: number) => number) =>
      eachSequence(op, runtime, (from, to, s) => {
        const factor = scale(s);
        for (let i = from; i < to; i++) d[i] += factor * dOut[i];
      });
    const [dx, dy] = backward.inputs;
    if (dx) addScaled(runtime.gradientTo(dx), (s) => 1 - s);
    if (dy) addScaled(runtime.gradientTo(dy), (s) => s);
  },
};

/** Calls back with the element range and the draw of each sequence. */
export function eachSequence(
  op: StochasticDepthOp | StochasticDepthAddOp,
  runtime: Runtime,
  visit: (from: number, to: number, s: number) => void,
): void {
  const { offsets } = runtime.layout;
  const cols = runtime.cols(op.outputs[0]);
  const draw = runtime.scratch('stochasticDepth.draw', 1);
  const { p, site } = op.attributes;
  for (let sequence = 0; sequence + 1 < offsets.length; sequence++) {
    fillMaskRow(draw, 0, 1, sequence, site, runtime.dropoutStep, runtime.dropoutKey, p);
    visit(offsets[sequence] * cols, offsets[sequence + 1] * cols, draw[0]);
  }
}
