/**
 * Float32 normals with the arithmetic of PyTorch's vector kernel (AVX2, on by default on x86 CPUs), bit for bit: logarithm, sine and
 * cosine are Cephes' single-precision polynomials (Moshier, netlib.org/cephes: logf, sinf, cosf), every product that
 * feeds a sum is fused. `Math.log` and its kin are more exact, which makes 1 normal in 6 differ in the last bits.
 */

const { fround } = Math;
const TWO_PI = fround(2 * Math.PI);

/** a * b + c rounded once to float32; the product of two float32 values is exact in a double. */
function fused(a: number, b: number, c: number): number {
  return fround(a * b + c);
}

const LN2_HIGH = 0.693359375;
const LN2_LOW = fround(-2.1219444e-4);
const SQRT_HALF = fround(Math.SQRT1_2);
const L0 = fround(7.0376836292e-2);
const L1 = fround(-1.151461031e-1);
const L2 = fround(1.167699874e-1);
const L3 = fround(-1.2420140846e-1);
const L4 = fround(1.4249322787e-1);
const L5 = fround(-1.6668057665e-1);
const L6 = fround(2.0000714765e-1);
const L7 = fround(-2.4999993993e-1);
const L8 = fround(3.3333331174e-1);

const bits = new Int32Array(1);
const value = new Float32Array(bits.buffer);

/** The natural logarithm of a normal float32 above 0. */
function log(x: number): number {
  value[0] = x;
  let exponent = (bits[0] >>> 23) - 126;
  bits[0] = (bits[0] & 0x7fffff) | 0x3f000000;
  let m = value[0]; // In [0.5, 1).
  if (m < SQRT_HALF) {
    exponent -= 1;
    m = fround(fround(m - 1) + m);
  } else {
    m = fround(m - 1);
  }
  const z = fround(m * m);
  let y = fused(L0, m, L1);
  y = fused(y, m, L2);
  y = fused(y, m, L3);
  y = fused(y, m, L4);
  y = fused(y, m, L5);
  y = fused(y, m, L6);
  y = fused(y, m, L7);
  y = fused(y, m, L8);
  y = fused(fround(y * m), z, fround(exponent * LN2_LOW));
  y = fused(z, -0.5, y);
  return fused(exponent, LN2_HIGH, fround(m + y));
}

const FOUR_OVER_PI = fround(4 / Math.PI);
/** pi / 4 in three parts, the first two short enough to be multiplied exactly. */
const QUARTER_PI_1 = 0.78515625;
const QUARTER_PI_2 = fround(2.4187564849853516e-4);
const QUARTER_PI_3 = fround(3.774894977445941e-8);
const S0 = fround(-1.9515295891e-4);
const S1 = fround(8.3321608736e-3);
const S2 = fround(-1.6666654611e-1);
const C0 = fround(2.443315711809948e-5);
const C1 = fround(-1.388731625493765e-3);
const C2 = fround(4.166664568298827e-2);

/**
 * Turns two float32 uniforms in [0, 1) at `data[i]` and `data[j]` into two independent normals, in place
 * (Box and Muller 1958). `mean` and `std` are float32 values.
 */
export function boxMuller(data: Float32Array, i: number, j: number, mean: number, std: number): void {
  const radius = fround(Math.sqrt(-2 * log(fround(1 - data[i]))));
  const angle = fround(TWO_PI * data[j]);

  const octant = (fround(angle * FOUR_OVER_PI) + 1) & ~1;
  let x = fused(-octant, QUARTER_PI_1, angle);
  x = fused(-octant, QUARTER_PI_2, x);
  x = fused(-octant, QUARTER_PI_3, x);
  const z = fround(x * x);
  let even = fused(C0, z, C1);
  even = fused(even, z, C2);
  even = fused(fround(even * z), z, fround(-0.5 * z));
  even = fround(even + 1);
  let odd = fused(S0, z, S1);
  odd = fused(odd, z, S2);
  odd = fused(fround(odd * z), x, x);

  const swapped = (octant & 2) !== 0;
  const cosine = ((octant + 2) & 4) === 0 ? 1 : -1;
  const sine = (octant & 4) === 0 ? 1 : -1;
  data[i] = fround(radius * (swapped ? odd : even)) * cosine * std + mean;
  data[j] = fround(radius * (swapped ? even : odd)) * sine * std + mean;
}
