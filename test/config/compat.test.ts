import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { COMPAT_TABLE, compatTable, resolveCompat } from '../../src/config/compat.ts';
import { COMPAT_NAMES } from '../../src/config/names.ts';

const test = suite('compat');

test('none switches all off, relic-5f23433 all on', () => {
  const names = COMPAT_TABLE.map(({ name }) => name);
  assert.is(new Set(names).size, names.length);
  for (const [name, on] of [
    ['none', false],
    ['relic-5f23433', true],
  ] as const) {
    const compat = resolveCompat(name);
    assert.equal(Object.keys(compat), names);
    assert.ok(Object.values(compat).every((value) => value === on));
    assert.ok(Object.isFrozen(compat));
  }
  assert.equal([...COMPAT_NAMES], ['none', 'relic-5f23433']);
});

test('the table has a row of two sentences for each switch', () => {
  const rows = compatTable().trimEnd().split('\n');
  assert.is(rows.length, COMPAT_TABLE.length + 2);
  for (const row of rows) assert.is(row.split('|').length, 4, row);
});

test.run();
