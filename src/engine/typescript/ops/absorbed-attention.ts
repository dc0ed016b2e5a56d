import type { AbsorbedAttentionOp } from '../../../model/program.ts';
import { fillMaskRow } from '../../../random/philox.ts';
import { segmentsOf } from '../../layout.ts';
import type { Reals } from '../matmul.ts';
import type { Runtime } from '../runtime.ts';
import type { OpImplementation } from './op.ts';

/** Plain loops: this engine never asks for the op, which it defines for those that do. */
export const absorbedAttention: OpImplementation<AbsorbedAttentionOp> = {
  forward(op, runtime) {
    const heads = headsOf(op, runtime);
    const { q, x, cols, width, count, keyWeight, valueWeight, valueBias } = heads;
    const [y, stats, keyed, pooled] = op.outputs.map((id) => runtime.value(id));
    heads.each((pair, head, rows, mask) => {
      const [at, features] = [pair * heads.width * count + head * width, (pair * count + head) * cols];
      keyed.fill(0, features, features + cols);
      pooled.fill(0, features, features + cols);
      for (let i = 0; i < width; i++) {
        for (let c = 0; c < cols; c++) keyed[features + c] += q[at + i] * keyWeight[(head * width + i) * cols + c];
      }
      const scores = rows.map((row) => heads.scale * dot(x, row * cols, keyed, features, cols));
      const largest = Math.max(...scores);
      const sum = scores.reduce((total, score) => total + Math.exp(score - largest), 0);
      const logSumExp = largest + Math.log(sum);
      let mass = 0;
      rows.forEach((row, j) => {
        const p = mask[j] * Math.exp(scores[j] - logSumExp);
        mass += p;
        for (let c = 0; c < cols; c++) pooled[features + c] += p * x[row * cols + c];
      });
      stats[2 * pair * count + head] = logSumExp;
      stats[(2 * pair + 1) * count + head] = mass;
      for (let i = 0; i < width; i++) {
        const line = head * width + i;
        y[at + i] = dot(valueWeight, line * cols, pooled, features, cols) + mass * valueBias[line];
      }
    });
  },

  backward(op, backward, runtime) {
    const heads = headsOf(op, runtime);
    const { q, x, cols, width, count, keyWeight, valueWeight, valueBias, scale } = heads;
    const [, stats, keyed, pooled] = op.outputs.map((id) => runtime.value(id));
    const dy = runtime.gradient(op.outputs[0]);
    const [dq, dx] = backward.inputs.map((target) => target && runtime.gradientTo(target));
    // The key bias has no gradient: it is cleared where this op is the first.
    const [dKeyWeight, , dValueWeight, dValueBias] = backward.parameters.map((target) => {
      return target && shifted(runtime.parameterGradientTo(target));
    });
    const [toPooled, toKeyed] = ['toPooled', 'toKeyed'].map((name) => runtime.scratch(`absorbed.${name}`, cols));
    heads.each((pair, head, rows, mask) => {
      const [at, features] = [pair * width * count + head * width, (pair * count + head) * cols];
      const [logSumExp, mass] = [stats[2 * pair * count + head], stats[(2 * pair + 1) * count + head]];
      toPooled.fill(0);
      toKeyed.fill(0);
      let toMass = 0;
      for (let i = 0; i < width; i++) {
        const line = head * width + i;
        toMass += dy[at + i] * valueBias[line];
        if (dValueBias) dValueBias[line] += dy[at + i] * mass;
        for (let c = 0; c < cols; c++) {
          toPooled[c] += dy[at + i] * valueWeight[line * cols + c];
          if (dValueWeight) dValueWeight[line * cols + c] += dy[at + i] * pooled[features + c];
        }
      }
      const mean = dot(toPooled, 0, pooled, features, cols) + toMass * mass;
      rows.forEach((row, j) => {
        const p = Math.exp(scale * dot(x, row * cols, keyed, features, cols) - logSumExp);
        const ds = p * (mask[j] * (dot(x, row * cols, toPooled, 0, cols) + toMass) - mean) * scale;
        for (let c = 0; c < cols; c++) {
          toKeyed[c] += ds * x[row * cols + c];
          if (dx) dx[row * cols + c] += p * mask[j] * toPooled[c] + ds * keyed[features + c];
        }
      });
      for (let i = 0; i < width; i++) {
        const line = (head * width + i) * cols;
        if (dq) dq[at + i] += dot(keyWeight, line, toKeyed, 0, cols);
        if (!dKeyWeight) continue;
        for (let c = 0; c < cols; c++) dKeyWeight[line + c] += q[at + i] * toKeyed[c];
      }
    });
  },
};

/** The operands, and a visit of every head of every pair with its token rows and their masks. */
function headsOf(op: AbsorbedAttentionOp, runtime: Runtime) {
  const { heads: count, width: total, p, site } = op.attributes;
  const [keyWeight, , valueWeight, valueBias] = op.parameters.map((slice) => shifted(runtime.parameter(slice)));
  return {
    q: runtime.value(op.inputs[0]),
    x: runtime.value(op.inputs[1]),
    cols: runtime.cols(op.inputs[1]),
    count,
    width: total / count,
    scale: Math.sqrt(count / total),
    keyWeight,
    valueWeight,
    valueBias,
    each(visit: (pair: number, head: number, rows: readonly number[], mask: Reals) => void): void {
      for (const { queries, keys } of segmentsOf('pairToBoth', runtime.layout)) {
        const rows = keys.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i));
        const mask = runtime.scratch('absorbed.mask', rows.length);
        for (let head = 0; head < count; head++) {
          mask.fill(1);
          const row = queries.from * count + head;
          if (p > 0 && runtime.training) {
            fillMaskRow(mask, 0, rows.length, row, site, runtime.dropoutStep, runtime.dropoutKey, p);
          }
          visit(queries.from, head, rows, mask);
        }
      }
    },
  };
}

/** The values of a parameter slice from its first one on. */
function shifted({ data, offset }: { data: Reals; offset: number }): Reals {
  return data.subarray(offset);
}

function dot(a: Reals, aFrom: number, b: Reals, bFrom: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += a[aFrom + i] * b[bFrom + i];
  return sum;
}
