import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bytes, flops, grouped, table } from '../../src/cli/table.ts';

const test = suite('cli/table');

test('text is aligned to the left and numbers to the right', () => {
  const rows = [
    ['name', '1,234', 'x'],
    ['n', '7', ''],
  ];
  assert.is(table(rows, '> '), '> name  1,234  x\n> n         7');
});

test('quantities read well at every size', () => {
  assert.is(grouped(10197633), '10,197,633');
  assert.equal([0, 1023, 1536, 1020 * 1024, 5 * 2 ** 30].map(bytes), [
    '0 B',
    '1023 B',
    '1.50 KiB',
    '1020 KiB',
    '5.00 GiB',
  ]);
  assert.equal([999, 12_345_678, 1e18].map(flops), ['999 FLOP', '12.3 MFLOP', '1000 PFLOP']);
});

test.run();
