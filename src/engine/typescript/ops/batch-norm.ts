import { RelicError } from '../../../errors.ts';
import type { BatchNormOp } from '../../../model/program.ts';
import type { Runtime } from '../runtime.ts';
import { normGradients, normOperands } from './norm-operands.ts';
import type { OpImplementation } from './op.ts';

/**
 * y = (x - mean) / sqrt(var + eps) * weight + bias over the rows of each column (Ioffe & Szegedy 2015). Training uses the
 * batch's biased variance and moves the running statistics with the unbiased one; scoring uses the running statistics.
 * Output 1 keeps (mean; reciprocal deviation) of the columns.
 */
export const batchNorm: OpImplementation<BatchNormOp> = {
  forward(op, runtime) {
    const { rows, cols, x, y, stats, weight, bias } = normOperands(op, runtime);
    if (runtime.training) batchStatistics(op, runtime, rows, cols);
    else runningStatistics(op, runtime, cols);
    for (let i = 0; i < rows * cols; i++) {
      const c = i % cols;
      y[i] = (x[i] - stats[c]) * stats[cols + c] * weight[c] + bias[c];
    }
  },

  backward(op, backward, runtime) {
    const { rows, cols, x, stats, weight } = normOperands(op, runtime);
    const { dy, dx, dWeight, dBias } = normGradients(op, backward, runtime);
    for (let c = 0; c < cols; c++) {
      const [mean, scale] = [stats[c], stats[cols + c]];
      let sum = 0;
      let dot = 0;
      for (let i = c; i < rows * cols; i += cols) {
        sum += dy[i];
        dot += dy[i] * (x[i] - mean) * scale;
      }
      if (dWeight) dWeight[c] += dot;
      if (dBias) dBias[c] += sum;
      if (!dx) continue;
      for (let i = c; i < rows * cols; i += cols) {
        const normed = (x[i] - mean) * scale;
        dx[i] += weight[c] * scale * (dy[i] - (sum + normed * dot) / rows);
      }
    }
  },
};

function batchStatistics(op: BatchNormOp, runtime: Runtime, rows: number, cols: number): void {
  const { x, stats } = normOperands(op, runtime);
  if (rows < 2) {
    throw new RelicError('RELIC_BATCH_INVALID', 'batch norm in training', {
      expected: 'at least 2 pairs in a batch, to have a variance',
      received: String(rows),
      fix: 'set data_config.dataloader.drop_last: true, or another batch_size, or mlp_head.norm: layernorm',
    });
  }
  const { eps, momentum } = op.attributes;
  const runningMean = runtime.buffers.get(op.attributes.runningMean)!;
  const runningVar = runtime.buffers.get(op.attributes.runningVar)!;
  for (let c = 0; c < cols; c++) {
    let mean = 0;
    for (let i = c; i < rows * cols; i += cols) mean += x[i];
    mean /= rows;
    let squares = 0;
    for (let i = c; i < rows * cols; i += cols) squares += (x[i] - mean) ** 2;
    stats[c] = mean;
    stats[cols + c] = 1 / Math.sqrt(squares / rows + eps);
    if (!runtime.updateBuffers) continue;
    runningMean[c] = (1 - momentum) * runningMean[c] + momentum * mean;
    runningVar[c] = (1 - momentum) * runningVar[c] + (momentum * squares) / (rows - 1);
  }
  if (runtime.updateBuffers) runtime.buffers.get(op.attributes.batches)![0] += 1;
}

function runningStatistics(op: BatchNormOp, runtime: Runtime, cols: number): void {
  const stats = runtime.value(op.outputs[1]);
  const runningMean = runtime.buffers.get(op.attributes.runningMean)!;
  const runningVar = runtime.buffers.get(op.attributes.runningVar)!;
  for (let c = 0; c < cols; c++) {
    stats[c] = runningMean[c];
    stats[cols + c] = 1 / Math.sqrt(runningVar[c] + op.attributes.eps);
  }
}
