import fc from 'fast-check';
import { suite } from 'uvu';
import { matmul, operand } from '../../../src/engine/typescript/matmul.ts';
import { assertClose } from '../../assert.ts';

const test = suite('matmul');

/** A (rows, cols) matrix in a larger array, or its transpose, with a sentinel around it. */
function stored(values: number[][], transposed: boolean, gap: number) {
  const [rows, cols] = transposed ? [values[0].length, values.length] : [values.length, values[0].length];
  const stride = cols + gap;
  const data = new Float64Array(gap + rows * stride).fill(1e6);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++) data[gap + r * stride + c] = transposed ? values[c][r] : values[r][c];
  }
  return operand(data, stride, gap, transposed);
}

test('it equals the triple loop for any shape, stride, transposition, bias and accumulation', () => {
  const size = fc.integer({ min: 1, max: 11 });
  fc.assert(
    fc.property(
      size,
      size,
      size,
      fc.boolean(),
      fc.boolean(),
      fc.boolean(),
      fc.nat(3),
      fc.nat(),
      (m, n, k, ta, tb, add, gap, seed) => {
        let state = seed;
        const next = () => (state = (Math.imul(state, 1103515245) + 12345) | 0) / 2 ** 31;
        const fill = (rows: number, cols: number) =>
          Array.from({ length: rows }, () => Array.from({ length: cols }, next));
        const [a, b, start] = [fill(m, k), fill(k, n), fill(m, n)];
        const bias = add ? null : { data: Float64Array.from({ length: n + 1 }, next), offset: 1 };
        const out = stored(start, false, gap);
        matmul(m, n, k, stored(a, ta, gap), stored(b, tb, gap), out, add, bias);
        const expected = Float64Array.from(stored(start, false, gap).data);
        for (let i = 0; i < m; i++) {
          for (let j = 0; j < n; j++) {
            let sum = add ? start[i][j] : bias!.data[1 + j];
            for (let q = 0; q < k; q++) sum += a[i][q] * b[q][j];
            expected[gap + i * (n + gap) + j] = sum;
          }
        }
        assertClose(out.data, expected, { abs: 1e-12 });
      },
    ),
    { numRuns: 300 },
  );
});

test('float32 operands are summed in double precision', () => {
  const k = 4096;
  const a = new Float32Array(k).fill(0.1);
  const b = new Float32Array(k).fill(0.1);
  const out = new Float32Array(1);
  matmul(1, 1, k, operand(a, k), operand(b, 1), operand(out, 1), false);
  assertClose(out, [Math.fround(k * Math.fround(0.1) ** 2)], { rel: 1e-7 });
});

test.run();
