/**
 * Philox4x32, the counter-based random generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3"
 * (SC 2011), and the dropout masks made of it. Any element of any mask can be drawn at any time and in any order, so
 * nothing is kept for the backward pass and all engines draw the same masks bit for bit.
 *
 * The mask of a dropout site at a training step, as every engine must compute it:
 * - key = {@link dropoutKey}(seed, rank, stream);
 * - the element at (row, col) belongs to the Philox4x32-7 block of counter (row, col >>> 3, site, step), all u32;
 * - the block's four words are eight 16-bit draws, low half first: draw j = (word[j >> 1] >>> (16 * (j & 1))) & 0xffff,
 *   and the element takes j = col & 7;
 * - it is dropped (0) when draw < {@link dropoutThreshold}(p), else scaled by {@link dropoutScale}(p), which an engine
 *   in float32 rounds to the nearest float32.
 * Stochastic depth is the same with row = sequence index and col = 0.
 */
import { createHash } from 'node:crypto';
import { RelicError } from '../errors.ts';

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;

const DRAWS_PER_BLOCK = 8;
const DRAW_RANGE = 0x10000;
/** Seven rounds pass every statistical test of BigCrush (Salmon et al., table 2); ten are the paper's safety margin. */
const MASK_ROUNDS = 7;

/** Two key words, each an unsigned 32-bit integer. */
export type PhiloxKey = readonly [number, number];

/** Writes to `out` (4 words) the Philox block of this counter (4 words) and key after `rounds` rounds. */
export function philox4x32(counter: ArrayLike<number>, key: ArrayLike<number>, rounds: number, out: Uint32Array): void {
  block(counter[0], counter[1], counter[2], counter[3], key[0], key[1], rounds, out);
}

/** {@link philox4x32} with the counter (a, b, c, d) and the key (k, l) in scalars, for the hot loop. */
function block(
  a: number,
  b: number,
  c: number,
  d: number,
  k: number,
  l: number,
  rounds: number,
  out: Uint32Array,
): void {
  a |= 0;
  b |= 0;
  c |= 0;
  d |= 0;
  k |= 0;
  l |= 0;
  for (let round = 0; round < rounds; round++) {
    const nextA = multiplyHigh(c, MULTIPLIER_1 >>> 16, MULTIPLIER_1 & 0xffff) ^ b ^ k;
    const nextC = multiplyHigh(a, MULTIPLIER_0 >>> 16, MULTIPLIER_0 & 0xffff) ^ d ^ l;
    b = Math.imul(c, MULTIPLIER_1);
    d = Math.imul(a, MULTIPLIER_0);
    a = nextA;
    c = nextC;
    k = (k + WEYL_0) | 0;
    l = (l + WEYL_1) | 0;
  }
  out[0] = a;
  out[1] = b;
  out[2] = c;
  out[3] = d;
}

/** The high 32 bits of the unsigned product of x and (high, low), by 16-bit halves: no partial sum passes 2^32. */
function multiplyHigh(x: number, high: number, low: number): number {
  const xLow = x & 0xffff;
  const xHigh = x >>> 16;
  const middle = (Math.imul(xHigh, low) + (Math.imul(xLow, low) >>> 16)) | 0;
  const carry = (Math.imul(xLow, high) + (middle & 0xffff)) | 0;
  return (Math.imul(xHigh, high) + (middle >>> 16) + (carry >>> 16)) | 0;
}

/** The key of one rank's stream: the first 8 bytes of sha256("seed:rank:stream") as two little-endian words. */
export function dropoutKey(seed: number | bigint, rank: number, stream: string): PhiloxKey {
  const digest = createHash('sha256').update(`${seed}:${rank}:${stream}`).digest();
  return [digest.readUInt32LE(0), digest.readUInt32LE(4)];
}

/**
 * Draws below this, of 0 .. 65535, drop their element: p to the nearest 1/65536, and never all of them.
 *
 * @throws RELIC_PROGRAM_INVALID when p is not in [0, 1).
 */
export function dropoutThreshold(p: number): number {
  if (!(p >= 0 && p < 1)) {
    throw new RelicError('RELIC_PROGRAM_INVALID', 'dropout probability', {
      expected: 'a number in [0, 1)',
      received: String(p),
    });
  }
  return Math.min(Math.round(p * DRAW_RANGE), DRAW_RANGE - 1);
}

/** What kept elements are multiplied by, so that the mean of an element stays what it was. */
export function dropoutScale(p: number): number {
  return 1 / (1 - dropoutThreshold(p) / DRAW_RANGE);
}

const words = new Uint32Array(4);

/** Writes the mask (0 or {@link dropoutScale}) of columns 0 .. cols-1 of `row` to `out` from `outOffset` on. */
export function fillMaskRow(
  out: Float32Array | Float64Array,
  outOffset: number,
  cols: number,
  row: number,
  site: number,
  step: number,
  key: PhiloxKey,
  p: number,
): void {
  const threshold = dropoutThreshold(p);
  const scale = dropoutScale(p);
  const whole = cols - (cols % DRAWS_PER_BLOCK);
  for (let col = 0; col < whole; col += DRAWS_PER_BLOCK) {
    block(row, col >>> 3, site, step, key[0], key[1], MASK_ROUNDS, words);
    const at = outOffset + col;
    const [w0, w1, w2, w3] = [words[0], words[1], words[2], words[3]];
    out[at] = (w0 & 0xffff) < threshold ? 0 : scale;
    out[at + 1] = w0 >>> 16 < threshold ? 0 : scale;
    out[at + 2] = (w1 & 0xffff) < threshold ? 0 : scale;
    out[at + 3] = w1 >>> 16 < threshold ? 0 : scale;
    out[at + 4] = (w2 & 0xffff) < threshold ? 0 : scale;
    out[at + 5] = w2 >>> 16 < threshold ? 0 : scale;
    out[at + 6] = (w3 & 0xffff) < threshold ? 0 : scale;
    out[at + 7] = w3 >>> 16 < threshold ? 0 : scale;
  }
  if (whole === cols) return;
  block(row, whole >>> 3, site, step, key[0], key[1], MASK_ROUNDS, words);
  for (let j = 0; j < cols - whole; j++) {
    const draw = (words[j >> 1] >>> (16 * (j & 1))) & 0xffff;
    out[outOffset + whole + j] = draw < threshold ? 0 : scale;
  }
}
