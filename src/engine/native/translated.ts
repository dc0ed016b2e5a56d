/** Failures of the addon, which knows nothing of this package's error type. */
import { ERROR_EXIT, type ErrorCode, RelicError } from '../../errors.ts';

/** Errors of the addon become those of this package. They are made here, so that their stack leads to the caller. */
export function translated<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw relicError(error);
  }
}

/** Likewise of a promise. */
export async function settled<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw relicError(error);
  }
}

/** An error of the addon, as one of this package where it is one. */
export function relicError(error: unknown): unknown {
  const { code, message } = error as { code?: unknown; message: string };
  return typeof code === 'string' && code in ERROR_EXIT ? new RelicError(code as ErrorCode, message) : error;
}
