import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { erf } from '../../../src/engine/typescript/erf.ts';
import { assertClose } from '../../assert.ts';

const test = suite('erf');

test('tabulated values (Abramowitz & Stegun 1964, table 7.1; NIST DLMF 7.23)', () => {
  const table = [
    [0.1, 0.1124629160182849],
    [0.5, 0.5204998778130465],
    [1, 0.8427007929497149],
    [1.5, 0.9661051464753108],
    [2, 0.9953222650189527],
    [3, 0.9999779095030014],
  ];
  for (const [x, expected] of table) {
    assertClose(erf(x), expected, { rel: 5e-16 * 4, what: `erf(${x})` });
    assert.is(erf(-x), -erf(x));
  }
});

test('limits and NaN', () => {
  assert.is(erf(0), 0);
  assert.is(erf(6.5), 1);
  assert.is(erf(Number.NEGATIVE_INFINITY), -1);
  assert.ok(Number.isNaN(erf(Number.NaN)));
});

test('the derivative is the Gaussian everywhere, also across table cells', () => {
  const h = 1e-4;
  for (let x = -5.9; x < 5.9; x += 0.00731) {
    const slope = (8 * (erf(x + h) - erf(x - h)) - (erf(x + 2 * h) - erf(x - 2 * h))) / (12 * h);
    assertClose(slope, (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x), { abs: 1e-11, what: `slope at ${x}` });
  }
});

test.run();
