import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { toBool, toFloat, toInt, toItemText, toText } from '../../src/config/coerce.ts';
import type { Scalar } from '../../src/config/yaml11-scalar.ts';

const test = suite('coerce');
const text = (value: string): Scalar => ({ kind: 'text', value });
const int = (value: number | bigint): Scalar => ({ kind: 'int', value });
const float = (value: number): Scalar => ({ kind: 'float', value });
const bool = (value: boolean): Scalar => ({ kind: 'bool', value });
const NONE: Scalar = { kind: 'null', value: null };
const DATE: Scalar = { kind: 'date', value: '2026-02-12' };

test('int() of Python', () => {
  assert.equal([int(3), float(2.9), float(-2.9), bool(true), bool(false)].map(toInt), [3, 2, -2, 1, 0]);
  assert.equal(
    ['7', ' 7 ', '1_000', '-3', '+4', '007'].map((value) => toInt(text(value))),
    [7, 7, 1000, -3, 4, 7],
  );
  assert.ok(Object.is(toInt(float(-0.5)), 0));
  for (const value of ['3.0', '', '1__0', '_1', '1_', '0x10', 'seven', '1e3'])
    assert.is(toInt(text(value)), undefined, value);
  for (const value of [float(Infinity), float(Number.NaN), NONE, DATE, int(2n ** 70n)])
    assert.is(toInt(value), undefined);
});

test('float() of Python, finite only', () => {
  assert.equal([int(3), float(0.5), bool(true)].map(toFloat), [3, 0.5, 1]);
  const texts = ['1e-4', ' 5e-5 ', '.5', '1.', '1_0.2_5', '-3E+2'];
  assert.equal(
    texts.map((value) => toFloat(text(value))),
    [1e-4, 5e-5, 0.5, 1, 10.25, -300],
  );
  for (const value of ['inf', 'nan', '-Infinity', '', '.', '1e', 'e5', '1e999', '1__0', '0x10'])
    assert.is(toFloat(text(value)), undefined, value);
  for (const value of [float(Infinity), float(Number.NaN), NONE, DATE]) assert.is(toFloat(value), undefined);
});

test('bools: any int, and eight words', () => {
  assert.equal([bool(true), int(0), int(-2), int(2n ** 70n)].map(toBool), [true, false, true, true]);
  assert.equal(
    ['1', ' TRUE ', 'Yes', 'on'].map((value) => toBool(text(value))),
    [true, true, true, true],
  );
  assert.equal(
    ['0', 'False', 'NO', ' off'].map((value) => toBool(text(value))),
    [false, false, false, false],
  );
  for (const value of [text('2'), text(''), text('y'), float(1), NONE, DATE]) assert.is(toBool(value), undefined);
});

test('text is text only', () => {
  assert.is(toText(text(' x ')), ' x ');
  for (const value of [int(3), float(1), bool(true), NONE, DATE]) assert.is(toText(value), undefined);
});

test('str() of list items', () => {
  const items = [text('f1'), int(3), float(1), bool(true), bool(false), NONE, DATE];
  assert.equal(items.map(toItemText), ['f1', '3', '1.0', 'True', 'False', 'None', '2026-02-12']);
});

test.run();
