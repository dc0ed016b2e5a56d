import type { GradientTarget } from '../../../model/autodiff.ts';
import type { AttentionOp } from '../../../model/program.ts';
import { fillMaskRow } from '../../../random/philox.ts';
import { type Segment, segmentsOf } from '../../layout.ts';
import { matmul, type Operand, operand, type Reals } from '../matmul.ts';
import type { Runtime } from '../runtime.ts';
import type { OpImplementation } from './op.ts';

/**
 * Scaled dot-product attention (Vaswani et al. 2017) segment by segment and head by head. The probabilities of one head
 * are the only matrix held; backward computes them again from the saved log-sum-exp of each query row.
 */
export const attention: OpImplementation<AttentionOp> = {
  forward(op, runtime) {
    const out = runtime.matrix(op.outputs[0]);
    const logSumExp = runtime.value(op.outputs[1]);
    eachHead(op, runtime, (head) => {
      const scores = scaledScores(head, op, runtime);
      softmaxRows(head, scores, logSumExp, op.attributes.heads);
      maskProbabilities(head, scores, op, runtime);
      const { queries, width } = head;
      const target = head.part(out, queries.from, 0);
      let accumulate = false;
      head.eachRange((keys, column) => {
        matmul(
          head.rows,
          width,
          keys.to - keys.from,
          head.columns(scores, column),
          head.value(keys.from),
          target,
          accumulate,
        );
        accumulate = true;
      });
    });
  },

  backward(op, backward, runtime) {
    const [queryTarget, keyTarget] = backward.inputs;
    const dQuery = queryTarget && gradientOf(queryTarget, runtime);
    const dKeyValue = keyTarget && gradientOf(keyTarget, runtime);
    const dOut = runtime.gradientMatrix(op.outputs[0]);
    const { heads, width: total, queryOffset, keyOffset, valueOffset, p } = op.attributes;
    const scale = Math.sqrt(heads / total);
    eachHead(op, runtime, (head) => {
      const { rows, keyRows, queries, width } = head;
      const probabilities = scaledScores(head, op, runtime);
      expRows(head, probabilities, runtime.value(op.outputs[1]), heads);
      const dOutHead = head.part(dOut, queries.from, 0);
      const masks = p > 0 && runtime.training ? head.masks() : null;

      if (dKeyValue) {
        const dropped = operand(runtime.scratch('attention.dropped', rows * keyRows), keyRows);
        for (let i = 0; i < rows * keyRows; i++) {
          dropped.data[i] = probabilities.data[i] * (masks === null ? 1 : masks[i]);
        }
        head.eachRange((keys, column) => {
          const left = { ...head.columns(dropped, column), transposed: true };
          matmul(keys.to - keys.from, width, rows, left, dOutHead, head.part(dKeyValue, keys.from, valueOffset), true);
        });
      }

      const dScores = operand(runtime.scratch('attention.dScores', rows * keyRows), keyRows);
      head.eachRange((keys, column) => {
        const right = { ...head.value(keys.from), transposed: true };
        matmul(rows, keys.to - keys.from, width, dOutHead, right, head.columns(dScores, column), false);
      });
      softmaxGradient(head, probabilities.data, dScores.data, masks, scale);
      head.eachRange((keys, column) => {
        const part = head.columns(dScores, column);
        const length = keys.to - keys.from;
        if (dQuery) {
          matmul(rows, width, length, part, head.key(keys.from), head.part(dQuery, queries.from, queryOffset), true);
        }
        if (dKeyValue) {
          const target = head.part(dKeyValue, keys.from, keyOffset);
          matmul(length, width, rows, { ...part, transposed: true }, head.query(), target, true);
        }
      });
    });
  },
};

function gradientOf(target: GradientTarget<number>, runtime: Runtime): Operand {
  return operand(runtime.gradientTo(target), runtime.cols(target.target));
}

/** One head of one segment: its rows in the query and key-value tensors, and its columns. */
interface Head {
  readonly queries: { readonly from: number; readonly to: number };
  readonly index: number;
  /** Query rows and key rows of the segment, and columns of the head. */
  readonly rows: number;
  readonly keyRows: number;
  readonly width: number;
  query(): Operand;
  key(row: number): Operand;
  value(row: number): Operand;
  /** The columns of this head in `matrix`, whose heads begin at column `offset`, from `row` on. */
  part(matrix: Operand, row: number, offset: number): Operand;
  /** A (rows, keyRows) matrix from key column `column` on. */
  columns(scores: Operand, column: number): Operand;
  /** Calls back with each range of key rows and the column where it starts among all keys. */
  eachRange(visit: (keys: { from: number; to: number }, column: number) => void): void;
  /** (rows, keyRows) dropout masks of the probabilities. */
  masks(): Reals;
}

function eachHead(op: AttentionOp, runtime: Runtime, visit: (head: Head) => void): void {
  const { heads, segments } = op.attributes;
  for (const segment of segmentsOf(segments, runtime.layout)) {
    for (let index = 0; index < heads; index++) visit(headOf(op, runtime, segment, index));
  }
}

function headOf(op: AttentionOp, runtime: Runtime, { queries, keys }: Segment, index: number): Head {
  const { heads, width: total, queryOffset, keyOffset, valueOffset, p, site } = op.attributes;
  const [queryMatrix, keyValueMatrix] = [runtime.matrix(op.inputs[0]), runtime.matrix(op.inputs[1])];
  const width = total / heads;
  const rows = queries.to - queries.from;
  const keyRows = keys.reduce((sum, { from, to }) => sum + to - from, 0);
  const part = (matrix: Operand, row: number, offset: number) =>
    operand(matrix.data, matrix.stride, matrix.offset + row * matrix.stride + offset + index * width);
  return {
    queries,
    index,
    rows,
    keyRows,
    width,
    part,
    query: () => part(queryMatrix, queries.from, queryOffset),
    key: (row) => part(keyValueMatrix, row, keyOffset),
    value: (row) => part(keyValueMatrix, row, valueOffset),
    columns: (scores, column) => operand(scores.data, keyRows, column),
    eachRange(visit) {
      let column = 0;
      for (const range of keys) {
        visit(range, column);
        column += range.to - range.from;
      }
    },
    masks() {
      const masks = runtime.scratch('attention.masks', rows * keyRows);
      for (let r = 0; r < rows; r++) {
        const row = (queries.from + r) * heads + index;
        fillMaskRow(masks, r * keyRows, keyRows, row, site, runtime.dropoutStep, runtime.dropoutKey, p);
      }
      return masks;
    },
  };
}

/** (rows, keyRows): q k^T / sqrt(head width). */
function scaledScores(head: Head, op: AttentionOp, runtime: Runtime): Operand {
  const { rows, keyRows, width } = head;
  const scores = operand(runtime.scratch('attention.scores', rows * keyRows), keyRows);
  head.eachRange((keys, column) => {
    const right = { ...head.key(keys.from), transposed: true };
    matmul(rows, keys.to - keys.from, width, head.query(), right, head.columns(scores, column), false);
  });
  const scale = Math.sqrt(op.attributes.heads / op.attributes.width);
  for (let i = 0; i < rows * keyRows; i++) scores.data[i] *= scale;
  return scores;
}

/** Turns scores into probabilities and saves the log-sum-exp of each row. */
function softmaxRows(head: Head, { data }: Operand, logSumExp: Reals, heads: number): void {
  const { rows, keyRows, queries, index } = head;
  for (let r = 0; r < rows; r++) {
    const at = r * keyRows;
    let largest = Number.NEGATIVE_INFINITY;
    for (let j = 0; j < keyRows; j++) largest = Math.max(largest, data[at + j]);
    let sum = 0;
    for (let j = 0; j < keyRows; j++) sum += data[at + j] = Math.exp(data[at + j] - largest);
    const inverse = 1 / sum;
    for (let j = 0; j < keyRows; j++) data[at + j] *= inverse;
    logSumExp[(queries.from + r) * heads + index] = largest + Math.log(sum);
  }
}

/** Turns scores into probabilities by a saved log-sum-exp. */
function expRows({ rows, keyRows, queries, index }: Head, { data }: Operand, logSumExp: Reals, heads: number): void {
  for (let r = 0; r < rows; r++) {
    const at = r * keyRows;
    const shift = logSumExp[(queries.from + r) * heads + index];
    for (let j = 0; j < keyRows; j++) data[at + j] = Math.exp(data[at + j] - shift);
  }
}

function maskProbabilities(head: Head, { data }: Operand, op: AttentionOp, runtime: Runtime): void {
  if (op.attributes.p === 0 || !runtime.training) return;
  const masks = head.masks();
  for (let i = 0; i < head.rows * head.keyRows; i++) data[i] *= masks[i];
}

/** In place: from the gradient of dropped probabilities to that of q k^T, dS = P (M dP - sum over keys of P M dP) scale. */
function softmaxGradient(head: Head, probabilities: Reals, d: Reals, masks: Reals | null, scale: number): void {
  const { rows, keyRows } = head;
  for (let r = 0; r < rows; r++) {
    const at = r * keyRows;
    let dot = 0;
    for (let j = at; j < at + keyRows; j++) {
      if (masks !== null) d[j] *= masks[j];
      dot += d[j] * probabilities[j];
    }
    for (let j = at; j < at + keyRows; j++) d[j] = probabilities[j] * (d[j] - dot) * scale;
  }
}
