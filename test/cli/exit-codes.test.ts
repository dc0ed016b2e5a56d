import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import { ERROR_EXIT, EXIT } from '../../src/errors.ts';

const test = suite('cli/exit-codes');

test('every status has a meaning, in ascending order', () => {
  const codes = exitCodes();
  assert.equal(
    codes.map(({ status }) => status),
    Object.values(EXIT).sort((a, b) => a - b),
  );
  assert.ok(codes.every(({ meaning }) => meaning.length > 0));
});

test('every error code ends with a listed status other than 0', () => {
  const statuses = new Set(exitCodes().map(({ status }) => status));
  for (const [code, status] of Object.entries(ERROR_EXIT)) assert.ok(status > 0 && statuses.has(status), code);
});

test.run();
