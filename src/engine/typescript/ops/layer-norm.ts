import type { LayerNormOp } from '../../../model/program.ts';
import type { OpImplementation } from './op.ts';

/** y = (x - mean) / sqrt(var + eps) * weight + bias over the columns of each row (Ba et al. 2016). */
export const layerNorm: OpImplementation<LayerNormOp> = {
  forward(op, runtime) {
    const x = runtime.value(op.inputs[0]);
    const y = runtime.value(op.outputs[0]);
    const stats = runtime.value(op.outputs[1]);
    const { data: weight } = runtime.parameter(op.parameters[0]);
    const { data: bias } = runtime.parameter(op.parameters[1]);
    const [rows, cols] = [runtime.rows(op.inputs[0]), runtime.cols(op.inputs[0])];
    for (let r = 0; r < rows; r++) {
      const at = r * cols;
      let mean = 0;
      for (let c = 0; c < cols; c++) mean += x[at + c];
      mean /= cols;
      let variance = 0;
      for (let c = 0; c < cols; c++) variance += (x[at + c] - mean) ** 2;
      const scale = 1 / Math.sqrt(variance / cols + op.attributes.eps);
      stats[2 * r] = mean;
      stats[2 * r + 1] = scale;
      for (let c = 0; c < cols; c++) y[at + c] = (x[at + c] - mean) * scale * weight[c] + bias[c];
    }
  },

  backward(op, backward, runtime) {
    const x = runtime.value(op.inputs[0]);
    const stats = runtime.value(op.outputs[1]);
    const dy = runtime.gradient(op.outputs[0]);
    const { data: weight } = runtime.parameter(op.parameters[0]);
    const [rows, cols] = [runtime.rows(op.inputs[0]), runtime.cols(op.inputs[0])];
    const dx = backward.inputs[0] && runtime.gradientTo(backward.inputs[0]);
    const dWeight = backward.parameters[0] && runtime.parameterGradientTo(backward.parameters[0]).data;
    const dBias = backward.parameters[1] && runtime.parameterGradientTo(backward.parameters[1]).data;
    for (let r = 0; r < rows; r++) {
      const at = r * cols;
      const [mean, scale] = [stats[2 * r], stats[2 * r + 1]];
      let sum = 0;
      let dot = 0;
      for (let c = 0; c < cols; c++) {
        const normed = (x[at + c] - mean) * scale;
        const g = dy[at + c] * weight[c];
        sum += g;
        dot += g * normed;
        if (dWeight) dWeight[c] += dy[at + c] * normed;
        if (dBias) dBias[c] += dy[at + c];
      }
      if (!dx) continue;
      for (let c = 0; c < cols; c++) {
        const normed = (x[at + c] - mean) * scale;
        dx[at + c] += scale * (dy[at + c] * weight[c] - (sum + normed * dot) / cols);
      }
    }
  },
};
