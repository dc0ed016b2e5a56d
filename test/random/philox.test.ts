import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  dropoutKey,
  dropoutScale,
  dropoutThreshold,
  fillMaskRow,
  type PhiloxKey,
  philox4x32,
} from '../../src/random/philox.ts';
import { assertClose, assertThrowsCode } from '../assert.ts';

const KEY = dropoutKey(47, 0, 'dropout');
const ONES = 0xffffffff;

function block(counter: number[], key: PhiloxKey, rounds: number): string {
  const out = new Uint32Array(4);
  philox4x32(counter, key, rounds, out);
  return Array.from(out, (word) => word.toString(16).padStart(8, '0')).join(' ');
}

function mask({ rows = 1, cols = 64, site = 0, step = 0, key = KEY, p = 0.5 } = {}): Float64Array {
  const out = new Float64Array(rows * cols);
  for (let row = 0; row < rows; row++) fillMaskRow(out, row * cols, cols, row, site, step, key, p);
  return out;
}

const test = suite('Philox');

test('known answers of Random123', () => {
  assert.is(block([0, 0, 0, 0], [0, 0], 7), '5f6fb709 0d893f64 4f121f81 4f730a48');
  assert.is(block([0, 0, 0, 0], [0, 0], 10), '6627e8d5 e169c58d bc57ac4c 9b00dbd8');
  assert.is(block([ONES, ONES, ONES, ONES], [ONES, ONES], 7), '5207ddc2 45165e59 4d8ee751 8c52f662');
  assert.is(block([ONES, ONES, ONES, ONES], [ONES, ONES], 10), '408f276d 41c83b0e a20bc7c6 6d5451fd');
});

test('a key is the head of a sha256, apart for seed, rank and stream', () => {
  // printf '47:0:dropout' | sha256sum starts with the bytes of these two little-endian words.
  assert.equal(KEY, [0x9fbdd019, 0xfa143293]);
  assert.equal(dropoutKey(47n, 0, 'dropout'), KEY);
  const keys = [KEY, dropoutKey(48, 0, 'dropout'), dropoutKey(47, 1, 'dropout'), dropoutKey(47, 0, 'depth')];
  assert.is(new Set(keys.map(String)).size, keys.length);
});

test('threshold and scale', () => {
  assert.equal([0, 0.1, 0.5, 0.9999999].map(dropoutThreshold), [0, 6554, 32768, 65535]);
  assert.equal([0, 0.5, 0.9999999].map(dropoutScale), [1, 2, 65536]);
  assert.is(dropoutScale(0.1), 65536 / (65536 - 6554));
  for (const p of [1, -0.1, NaN]) assertThrowsCode(() => dropoutThreshold(p), 'RELIC_PROGRAM_INVALID', /\[0, 1\)/);
});

test('fillMaskRow is the definition, element by element, and writes nothing else', () => {
  const word = fc.integer({ min: 0, max: ONES });
  const words = new Uint32Array(4);
  fc.assert(
    fc.property(
      fc.nat(40),
      word,
      word,
      word,
      word,
      word,
      fc.double({ min: 0, max: 0.99, noNaN: true }),
      (cols, ...rest) => {
        const [row, site, step, keyLow, keyHigh, p] = rest;
        const expected = Array.from({ length: cols }, (_, col) => {
          philox4x32([row, col >>> 3, site, step], [keyLow, keyHigh], 7, words);
          const draw = (words[(col & 7) >> 1] >>> (16 * (col & 1))) & 0xffff;
          return draw < Math.round(p * 65536) ? 0 : 1 / (1 - Math.round(p * 65536) / 65536);
        });
        const out = new Float64Array(cols + 4).fill(-1);
        fillMaskRow(out, 2, cols, row, site, step, [keyLow, keyHigh], p);
        assert.equal([...out], [-1, -1, ...expected, -1, -1]);
      },
    ),
  );
});

test('a float32 mask is the float64 one, rounded', () => {
  const out = new Float32Array(64);
  fillMaskRow(out, 0, 64, 0, 0, 0, KEY, 0.1);
  assert.equal(out, Float32Array.from(mask({ p: 0.1 })));
});

test('the same place has the same mask in any order; p 0 keeps all', () => {
  const [last, first] = [mask({ step: 9 }), mask({ step: 1 })];
  assert.equal([mask({ step: 1 }), mask({ step: 9 })], [first, last]);
  assert.ok(mask({ p: 0 }).every((scale) => scale === 1));
});

// 262,144 elements: the standard error of a rate is below 0.001, that of a correlation 0.002.
const LARGE = { rows: 512, cols: 512 };

test('the share dropped is p, and the mean of the mask 1', () => {
  for (const p of [0.05, 0.1, 0.5, 0.9]) {
    const drawn = mask({ ...LARGE, p });
    const dropped = drawn.filter((scale) => scale === 0).length / drawn.length;
    assertClose(dropped, p, { abs: 0.004 });
    assertClose(drawn.reduce((sum, scale) => sum + scale, 0) / drawn.length, 1, { abs: 0.03 });
  }
});

test('neighbouring rows, columns, sites, steps and keys are uncorrelated', () => {
  const base = mask(LARGE);
  const others = {
    site: mask({ ...LARGE, site: 1 }),
    step: mask({ ...LARGE, step: 1 }),
    rank: mask({ ...LARGE, key: dropoutKey(47, 1, 'dropout') }),
    row: Float64Array.from([...base.subarray(LARGE.cols), ...base.subarray(0, LARGE.cols)]),
    column: Float64Array.from([...base.subarray(1), base[0]]),
    block: Float64Array.from([...base.subarray(8), ...base.subarray(0, 8)]),
  };
  for (const [what, other] of Object.entries(others)) {
    // At p = 0.5 an element is 0 or 2, so element - 1 has mean 0 and variance 1.
    const correlation = base.reduce((sum, scale, i) => sum + (scale - 1) * (other[i] - 1), 0) / base.length;
    assertClose(correlation, 0, { abs: 0.01, what });
  }
});

test.run();
