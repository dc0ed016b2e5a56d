/**
 * Python's conversions as RELIC applies them to config values (contract 1.1). Each returns undefined for a value it
 * does not accept; the caller words the error.
 */
import type { Scalar } from './yaml11-scalar.ts';
import { floatSpelling } from './yaml11-scalar.ts';

const INT_TEXT = /^[-+]?[0-9]+(?:_[0-9]+)*$/;
const FLOAT_TEXT =
  /^[-+]?(?:[0-9]+(?:_[0-9]+)*\.?(?:[0-9]+(?:_[0-9]+)*)?|\.[0-9]+(?:_[0-9]+)*)(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?$/;
const TRUE_TEXT = ['1', 'true', 'yes', 'on'];
const FALSE_TEXT = ['0', 'false', 'no', 'off'];

/** Python's `int()` of a bool, int, float or text: 2.9 -> 2, " 7 " -> 7, "1_000" -> 1000; "3.0" and inf are refused. */
export function toInt({ kind, value }: Scalar): number | undefined {
  if (kind === 'bool' || kind === 'int') return safe(Number(value));
  if (kind === 'float') return safe(Math.trunc(value as number));
  if (kind !== 'text') return undefined;
  const text = (value as string).trim();
  return INT_TEXT.test(text) ? safe(Number(text.replaceAll('_', ''))) : undefined;
}

/** Python's `float()` of a bool, int, float or text, if finite: "1e-4" -> 0.0001. */
export function toFloat({ kind, value }: Scalar): number | undefined {
  if (kind === 'bool' || kind === 'int' || kind === 'float') return finite(Number(value));
  if (kind !== 'text') return undefined;
  const text = (value as string).trim();
  return FLOAT_TEXT.test(text) ? finite(Number(text.replaceAll('_', ''))) : undefined;
}

/** A bool, any int (0 is false), or 1/true/yes/on/0/false/no/off in any case, trimmed. */
export function toBool({ kind, value }: Scalar): boolean | undefined {
  if (kind === 'bool' || kind === 'int') return Boolean(value);
  if (kind !== 'text') return undefined;
  const text = (value as string).trim().toLowerCase();
  if (TRUE_TEXT.includes(text)) return true;
  return FALSE_TEXT.includes(text) ? false : undefined;
}

/** Text only; Python's RELIC never turned a number into a name. */
export function toText({ kind, value }: Scalar): string | undefined {
  return kind === 'text' ? (value as string) : undefined;
}

/** Python's `str()` of any scalar (but for the digits of an exponent), for the items of a list of names. */
export function toItemText({ kind, value }: Scalar): string {
  if (kind === 'null') return 'None';
  if (kind === 'bool') return value ? 'True' : 'False';
  return kind === 'float' ? floatSpelling(value as number) : String(value);
}

function safe(value: number): number | undefined {
  // Adding 0 turns -0 (from -0.5) into 0.
  return Number.isSafeInteger(value) ? value + 0 : undefined;
}

function finite(value: number): number | undefined {
  return Number.isFinite(value) ? value : undefined;
}
