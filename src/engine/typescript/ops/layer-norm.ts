import type { LayerNormOp } from '../../../model/program.ts';
import { normGradients, normOperands } from './norm-operands.ts';
import type { OpImplementation } from './op.ts';

/** y = (x - mean) / sqrt(var + eps) * weight + bias over the columns of each row (Ba et al. 2016). */
export const layerNorm: OpImplementation<LayerNormOp> = {
  forward(op, runtime) {
    const { rows, cols, x, y, stats, weight, bias } = normOperands(op, runtime);
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
    const { rows, cols, x, stats, weight } = normOperands(op, runtime);
    const { dy, dx, dWeight, dBias } = normGradients(op, backward, runtime);
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
