/** Assertions that uvu lacks or gets wrong: NaN fails first, and errors are matched by their stable code. */
import { type ErrorCode, RelicError } from '../src/errors.ts';

type Numbers = ArrayLike<number>;

/** Passes when every |actual - expected| <= abs + rel * |expected|. NaN anywhere fails, whatever the tolerance. */
export function assertClose(
  actual: Numbers | number,
  expected: Numbers | number,
  { abs = 0, rel = 0, what = 'values' }: { abs?: number; rel?: number; what?: string } = {},
): void {
  const a = typeof actual === 'number' ? [actual] : actual;
  const e = typeof expected === 'number' ? [expected] : expected;
  if (a.length !== e.length) throw new Error(`${what}: expected ${e.length} numbers, received ${a.length}`);
  for (let i = 0; i < e.length; i++) {
    if (!Number.isFinite(e[i]) && Object.is(a[i], e[i])) continue;
    if (Number.isNaN(a[i]) || Number.isNaN(e[i])) throw new Error(`${what}[${i}]: NaN (${a[i]} against ${e[i]})`);
    if (!(Math.abs(a[i] - e[i]) <= abs + rel * Math.abs(e[i]))) {
      throw new Error(`${what}[${i}]: expected ${e[i]}, received ${a[i]}, apart by ${Math.abs(a[i] - e[i])}`);
    }
  }
}

function check(error: unknown, code: ErrorCode, text: RegExp | undefined): RelicError {
  if (!(error instanceof RelicError))
    throw new Error(`expected a RelicError ${code}, received ${error}`, { cause: error });
  if (error.code !== code) throw new Error(`expected code ${code}, received ${error.code}: ${error.message}`);
  if (text && !text.test(error.message)) throw new Error(`expected a message like ${text}, received: ${error.message}`);
  return error;
}

/** Passes when `action` throws a RelicError with this code (and a message that matches `text`); returns it. */
export function assertThrowsCode(action: () => unknown, code: ErrorCode, text?: RegExp): RelicError {
  try {
    action();
  } catch (error) {
    return check(error, code, text);
  }
  throw new Error(`expected a throw with code ${code}, nothing was thrown`);
}

/** As {@link assertThrowsCode}, for a promise. */
export async function assertRejectsCode(
  promise: Promise<unknown>,
  code: ErrorCode,
  text?: RegExp,
): Promise<RelicError> {
  try {
    await promise;
  } catch (error) {
    return check(error, code, text);
  }
  throw new Error(`expected a rejection with code ${code}, the promise was fulfilled`);
}
