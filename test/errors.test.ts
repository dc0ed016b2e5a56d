import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ERROR_EXIT, nearest, RelicError, shown } from '../src/errors.ts';
import { assertClose, assertRejectsCode, assertThrowsCode } from './assert.ts';

const test = suite('errors');

test('a message says where, what, expected, received, every problem and the fix, in this order', () => {
  const error = new RelicError('RELIC_CONFIG_INVALID', 'epochs', {
    expected: 'an integer above 0',
    received: shown('many'),
    where: 'x.yaml:3:5',
    problems: [{ where: 'x.yaml:4:1', message: 'unknown key' }],
    fix: 'write a number',
  });
  assert.is(
    error.message,
    'x.yaml:3:5: epochs: expected an integer above 0, received "many" (string)\n  x.yaml:4:1: unknown key\n  fix: write a number',
  );
  assert.is(error.exitCode, 2);
  assert.is(error.problems.length, 1);
});

test('a received value without an expectation reads as a plain sentence', () => {
  assert.is(new RelicError('RELIC_IO', 'disk', { received: 'EIO' }).message, 'disk: received EIO');
  const cause = new Error('root');
  assert.is(new RelicError('RELIC_IO', 'disk', { cause }).cause, cause);
});

test('every code ends the program with a status that is not 0', () => {
  for (const [code, status] of Object.entries(ERROR_EXIT)) assert.ok(status > 0 && status < 256, code);
});

test('values are shown with their kind, long ones cut', () => {
  assert.equal(
    [shown(undefined), shown(null), shown(2.5), shown(10n)],
    ['nothing', 'null', '2.5 (number)', '10 (number)'],
  );
  assert.equal([shown([1]), shown({ a: 1 }), shown(true)], ['[1] (list)', '{"a":1} (mapping)', 'true (boolean)']);
  assert.is(shown('x'.repeat(100)).length, '"'.length + 56 + '...'.length + ' (string)'.length);
});

test('a likely slip finds its word: one letter, a swap, a case; nothing near finds nothing', () => {
  const names = ['seed', 'epochs', 'batch_size'];
  assert.equal(
    ['sede', 'sed', 'Epochs', 'batch_sizes'].map((word) => nearest(word, names)),
    ['seed', 'seed', 'epochs', 'batch_size'],
  );
  assert.is(nearest('learning_rate', names), undefined);
});

test('the assertions themselves fail when they must', async () => {
  const throws = (action: () => void) => assert.throws(action, (error: unknown) => error instanceof Error);
  throws(() => assertClose([Number.NaN], [0], { abs: 1e9 }));
  throws(() => assertClose([0], [Number.NaN], { abs: 1e9 }));
  throws(() => assertClose([1], [1, 2]));
  throws(() => assertClose(1.1, 1, { abs: 0.05 }));
  throws(() => assertThrowsCode(() => undefined, 'RELIC_IO'));
  throws(() =>
    assertThrowsCode(() => {
      throw new RelicError('RELIC_USAGE', 'x');
    }, 'RELIC_IO'),
  );
  throws(() =>
    assertThrowsCode(() => {
      throw new Error('RELIC_IO');
    }, 'RELIC_IO'),
  );
  let rejected = false;
  await assertRejectsCode(Promise.resolve(), 'RELIC_IO').catch(() => {
    rejected = true;
  });
  assert.ok(rejected);
});

test.run();
