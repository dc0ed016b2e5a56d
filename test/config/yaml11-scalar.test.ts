import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  agreedSpelling,
  floatSpelling,
  readScalar11,
  readScalar12,
  readTagged11,
  type Scalar,
  ScalarError,
  sameScalar,
} from '../../src/config/yaml11-scalar.ts';

const test = suite('yaml11-scalar');

/** Readings of PyYAML 6.0.3's safe loader. */
const READINGS: readonly [string, Scalar['kind'], Scalar['value']][] = [
  ['1e-4', 'text', '1e-4'],
  ['5e-5', 'text', '5e-5'],
  ['1e5', 'text', '1e5'],
  ['1.0e5', 'text', '1.0e5'],
  ['1.0e-4', 'float', 1e-4],
  ['1.e+3', 'float', 1000],
  ['.5', 'float', 0.5],
  ['-.5', 'text', '-.5'],
  ['1.', 'float', 1],
  ['1_000.5', 'float', 1000.5],
  ['-0.0', 'float', -0],
  ['1:30.5', 'float', 90.5],
  ['.inf', 'float', Infinity],
  ['-.INF', 'float', -Infinity],
  ['.nan', 'float', Number.NaN],
  ['20260212_135926', 'int', 20260212135926],
  ['99999999999999999999', 'int', 99999999999999999999n],
  ['010', 'int', 8],
  ['-010', 'int', -8],
  ['089', 'text', '089'],
  ['0x1F', 'int', 31],
  ['0b11', 'int', 3],
  ['0o7', 'text', '0o7'],
  ['1_000', 'int', 1000],
  ['3:30', 'int', 210],
  ['-1:00', 'int', -60],
  ['0', 'int', 0],
  ['+12', 'int', 12],
  ['yes', 'bool', true],
  ['No', 'bool', false],
  ['ON', 'bool', true],
  ['off', 'bool', false],
  ['True', 'bool', true],
  ['y', 'text', 'y'],
  ['yEs', 'text', 'yEs'],
  ['~', 'null', null],
  ['', 'null', null],
  ['Null', 'null', null],
  ['nUll', 'text', 'nUll'],
  ['2026-02-12', 'date', '2026-02-12'],
  ['2026-2-3 1:02:03', 'date', '2026-2-3 1:02:03'],
  ['2001-12-14t21:59:43.10-05:00', 'date', '2001-12-14t21:59:43.10-05:00'],
  ['2026-2-3', 'text', '2026-2-3'],
  ['v3', 'text', 'v3'],
];

for (const [source, kind, value] of READINGS) {
  test(`1.1 reads ${JSON.stringify(source)} as ${kind}`, () => {
    const scalar = readScalar11(source);
    assert.is(scalar.kind, kind);
    assert.ok(Object.is(scalar.value, value), `${String(scalar.value)} is not ${String(value)}`);
  });
}

test('scalars that the safe loader refuses are errors', () => {
  for (const source of ['=', '<<', '0b_', '0x_', '2026-13-45', '2026-02-30'])
    assert.throws(
      () => readScalar11(source),
      (error: unknown) => error instanceof ScalarError,
      source,
    );
});

test('1.2 readings', () => {
  const of = (source: string) => readScalar12(source);
  assert.equal(of('1e-4'), { kind: 'float', value: 1e-4 });
  assert.equal(of('010'), { kind: 'int', value: 10 });
  assert.equal(of('-12'), { kind: 'int', value: -12 });
  assert.equal(of('0o7'), { kind: 'int', value: 7 });
  assert.equal(of('0x1F'), { kind: 'int', value: 31 });
  assert.equal(of('yes'), { kind: 'text', value: 'yes' });
  assert.equal(of('TRUE'), { kind: 'bool', value: true });
  assert.equal(of('3:30'), { kind: 'text', value: '3:30' });
  assert.equal(of('-.inf'), { kind: 'float', value: -Infinity });
  assert.ok(Number.isNaN(of('.nan').value));
  assert.equal(of('~'), { kind: 'null', value: null });
});

test('an integer and a float of one value are different readings', () => {
  assert.not(sameScalar({ kind: 'int', value: 1 }, { kind: 'float', value: 1 }));
  assert.ok(sameScalar(readScalar11('.nan'), readScalar12('.nan')));
});

test('an agreed spelling is read alike by both', () => {
  for (const [source] of READINGS) {
    const scalar = readScalar11(source);
    const spelling = agreedSpelling(scalar);
    if (scalar.kind === 'date') assert.is(spelling, undefined);
    else if (scalar.kind === 'text') assert.is(spelling, JSON.stringify(source));
    else {
      assert.ok(sameScalar(readScalar11(spelling!), scalar), `${source} -> ${spelling} (1.1)`);
      assert.ok(sameScalar(readScalar12(spelling!), scalar), `${source} -> ${spelling} (1.2)`);
    }
  }
});

test('float spellings keep a dot', () => {
  assert.equal([1, 1e21, 5e-7, 1.5e-9, -0, Infinity, Number.NaN].map(floatSpelling), [
    '1.0',
    '1.0e+21',
    '5.0e-7',
    '1.5e-9',
    '-0.0',
    '.inf',
    '.nan',
  ]);
});

test('tags', () => {
  assert.equal(readTagged11('tag:yaml.org,2002:int', '3'), { kind: 'int', value: 3 });
  assert.equal(readTagged11('!!float', '3'), { kind: 'float', value: 3 });
  assert.equal(readTagged11('!!str', '3'), { kind: 'text', value: '3' });
  assert.equal(readTagged11('!!bool', 'no'), { kind: 'bool', value: false });
  assert.equal(readTagged11('!!null', 'x'), { kind: 'null', value: null });
  assert.is(readTagged11('!!python/object', 'x'), undefined);
  assert.throws(
    () => readTagged11('!!int', 'x'),
    (error: unknown) => error instanceof ScalarError,
  );
  assert.throws(
    () => readTagged11('!!float', 'x'),
    (error: unknown) => error instanceof ScalarError,
  );
  assert.throws(
    () => readTagged11('!!bool', 'x'),
    (error: unknown) => error instanceof ScalarError,
  );
});

test.run();
