/**
 * Matrix product in pure TypeScript. One register tile of 3 x 4 accumulators over a packed right operand; every product
 * is summed in double precision whatever the arrays hold, so results are at least as close to the truth as float32 BLAS.
 */

export type Reals = Float32Array | Float64Array;

const TILE_ROWS = 3;
const TILE_COLS = 4;

/** Rows `offset, offset + stride, ...` of a flat array; `transposed` reads it as its transpose. */
export interface Operand {
  data: Reals;
  offset: number;
  stride: number;
  transposed: boolean;
}

export function operand(data: Reals, stride: number, offset = 0, transposed = false): Operand {
  return { data, offset, stride, transposed };
}

let packedLeft: Reals = new Float32Array(0);
let packedRight: Reals = new Float32Array(0);

/** A scratch array of at least `length` elements of the kind of `like`. */
function scratch(current: Reals, length: number, like: Reals): Reals {
  if (current.length >= length && current.constructor === like.constructor) return current;
  return like instanceof Float32Array ? new Float32Array(length) : new Float64Array(length);
}

/**
 * out (m, n) = left (m, k) · right (k, n), added to `out` with `accumulate`; `bias` (n), if given, is added to each row.
 * Operands are read through their offset, stride and transposition; `out` is never transposed and must not overlap them.
 */
export function matmul(
  m: number,
  n: number,
  k: number,
  left: Operand,
  right: Operand,
  out: Operand,
  accumulate: boolean,
  bias: { readonly data: Reals; readonly offset: number } | null = null,
): void {
  if (m === 0 || n === 0) return;
  const panels = Math.ceil(n / TILE_COLS);
  packedRight = scratch(packedRight, panels * TILE_COLS * k, right.data);
  packRight(n, k, right, packedRight);
  let { data: a, offset: aOffset, stride: aStride } = left;
  if (left.transposed) {
    packedLeft = scratch(packedLeft, m * k, left.data);
    transpose(m, k, left, packedLeft);
    [a, aOffset, aStride] = [packedLeft, 0, k];
  }
  if (!accumulate) startRows(m, n, out, bias);
  for (let panel = 0; panel < panels; panel++) {
    const col = panel * TILE_COLS;
    const width = Math.min(TILE_COLS, n - col);
    const outOffset = out.offset + col;
    const whole = width === TILE_COLS ? m - (m % TILE_ROWS) : 0;
    if (whole > 0) {
      tiles(whole, k, a, aOffset, aStride, packedRight, panel * TILE_COLS * k, out.data, outOffset, out.stride);
    }
    if (whole < m) {
      edge(
        whole,
        m,
        width,
        k,
        a,
        aOffset,
        aStride,
        packedRight,
        panel * TILE_COLS * k,
        out.data,
        outOffset,
        out.stride,
      );
    }
  }
}

/** Fills the rows of `out` with the bias, or zeros. */
function startRows(m: number, n: number, out: Operand, bias: { data: Reals; offset: number } | null): void {
  for (let i = 0; i < m; i++) {
    const row = out.offset + i * out.stride;
    if (bias === null) out.data.fill(0, row, row + n);
    else for (let j = 0; j < n; j++) out.data[row + j] = bias.data[bias.offset + j];
  }
}

/** Panels of four columns, each panel row by row: packed[panel][k][4], zero where the matrix ends. */
function packRight(n: number, k: number, { data, offset, stride, transposed }: Operand, packed: Reals): void {
  for (let col = 0; col < n; col += TILE_COLS) {
    const base = col * k;
    for (let c = 0; c < TILE_COLS; c++) {
      let at = base + c;
      if (col + c >= n) {
        for (let q = 0; q < k; q++, at += TILE_COLS) packed[at] = 0;
      } else if (transposed) {
        const row = offset + (col + c) * stride;
        for (let q = 0; q < k; q++, at += TILE_COLS) packed[at] = data[row + q];
      } else {
        let from = offset + col + c;
        for (let q = 0; q < k; q++, at += TILE_COLS, from += stride) packed[at] = data[from];
      }
    }
  }
}

function transpose(m: number, k: number, { data, offset, stride }: Operand, packed: Reals): void {
  for (let q = 0; q < k; q++) {
    const row = offset + q * stride;
    for (let i = 0; i < m; i++) packed[i * k + q] = data[row + i];
  }
}

/** Adds the product for `rows` (a multiple of three) rows and one whole panel. */
function tiles(
  rows: number,
  k: number,
  a: Reals,
  aOffset: number,
  aStride: number,
  packed: Reals,
  base: number,
  out: Reals,
  outOffset: number,
  outStride: number,
): void {
  const end = base + k * TILE_COLS;
  for (let i = 0; i < rows; i += TILE_ROWS) {
    let a0 = aOffset + i * aStride;
    let a1 = a0 + aStride;
    let a2 = a1 + aStride;
    let s00 = 0;
    let s01 = 0;
    let s02 = 0;
    let s03 = 0;
    let s10 = 0;
    let s11 = 0;
    let s12 = 0;
    let s13 = 0;
    let s20 = 0;
    let s21 = 0;
    let s22 = 0;
    let s23 = 0;
    for (let q = base; q < end; q += TILE_COLS) {
      const b0 = packed[q];
      const b1 = packed[q + 1];
      const b2 = packed[q + 2];
      const b3 = packed[q + 3];
      const x0 = a[a0++];
      s00 += x0 * b0;
      s01 += x0 * b1;
      s02 += x0 * b2;
      s03 += x0 * b3;
      const x1 = a[a1++];
      s10 += x1 * b0;
      s11 += x1 * b1;
      s12 += x1 * b2;
      s13 += x1 * b3;
      const x2 = a[a2++];
      s20 += x2 * b0;
      s21 += x2 * b1;
      s22 += x2 * b2;
      s23 += x2 * b3;
    }
    let o = outOffset + i * outStride;
    out[o] += s00;
    out[o + 1] += s01;
    out[o + 2] += s02;
    out[o + 3] += s03;
    o += outStride;
    out[o] += s10;
    out[o + 1] += s11;
    out[o + 2] += s12;
    out[o + 3] += s13;
    o += outStride;
    out[o] += s20;
    out[o + 1] += s21;
    out[o + 2] += s22;
    out[o + 3] += s23;
  }
}

/** Adds the product for the rows and columns that do not fill a tile. */
function edge(
  from: number,
  to: number,
  width: number,
  k: number,
  a: Reals,
  aOffset: number,
  aStride: number,
  packed: Reals,
  base: number,
  out: Reals,
  outOffset: number,
  outStride: number,
): void {
  for (let i = from; i < to; i++) {
    for (let c = 0; c < width; c++) {
      let sum = 0;
      let row = aOffset + i * aStride;
      for (let q = base + c, end = q + k * TILE_COLS; q < end; q += TILE_COLS) sum += a[row++] * packed[q];
      out[outOffset + i * outStride + c] += sum;
    }
  }
}
