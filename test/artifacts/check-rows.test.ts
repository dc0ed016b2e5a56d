import { suite } from 'uvu';
import { checkFinite } from '../../src/artifacts/check-rows.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('check-rows');
const rows = (...values: number[]) => ({ protein: 'P1', rows: Float32Array.from(values), dim: 2, where: 'P1.pt' });

test('finite rows pass, extremes and zeros included', () => {
  checkFinite(rows(0, -0, 3.4028234663852886e38, -1e-45));
  checkFinite(rows());
});

test('the first bad value is named with file, protein, row and column', () => {
  const check = () => checkFinite(rows(1, 2, 3, Number.NaN, Number.NaN, 0));
  assertThrowsCode(
    check,
    'RELIC_EMBEDDING_INVALID',
    /^P1\.pt: .*"P1".*finite numbers, received NaN in row 1, column 1/,
  );
});

test('the bound is the least magnitude that rounds to infinity', () => {
  checkFinite({ ...rows(65519.996), dtype: 'float16' });
  assertThrowsCode(
    () => checkFinite({ ...rows(-65520), dtype: 'float16' }),
    'RELIC_EMBEDDING_INVALID',
    /-65520 in row 0/,
  );
  checkFinite({ ...rows(3.39e38), dtype: 'bfloat16' });
  assertThrowsCode(() => checkFinite({ ...rows(3.3961776e38), dtype: 'bfloat16' }), 'RELIC_EMBEDDING_INVALID');
});

test.run();
