/**
 * What a plain scalar means: by YAML 1.1 as PyYAML's safe loader reads it, which RELIC configs are written for, and
 * by the YAML 1.2 core schema, so that a difference can be told to the user (contract 1.1).
 */

/** `int` and `float` are told apart because Python's coercions are (`bool` takes an int, not a float). */
export type ScalarKind = 'null' | 'bool' | 'int' | 'float' | 'text' | 'date';

export interface Scalar {
  readonly kind: ScalarKind;
  /** `date` keeps its text; an int beyond 2^53 is a bigint. */
  readonly value: null | boolean | number | bigint | string;
}

/** Thrown for scalars that PyYAML refuses; the reader adds the position. */
export class ScalarError extends Error {}

const NULL = /^(?:~|null|Null|NULL|)$/;
const TRUE = /^(?:yes|Yes|YES|true|True|TRUE|on|On|ON)$/;
const FALSE = /^(?:no|No|NO|false|False|FALSE|off|Off|OFF)$/;
const INT =
  /^(?:[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$/;
const FLOAT =
  /^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;
const DATE = /^([0-9]{4})-([0-9]{2})-([0-9]{2})$/;
const DATE_TIME =
  /^([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?$/;

const TEXT = (source: string): Scalar => ({ kind: 'text', value: source });
const NULL_SCALAR: Scalar = { kind: 'null', value: null };

/** The YAML 1.1 reading of a plain scalar. @throws ScalarError where PyYAML raises. */
export function readScalar11(source: string): Scalar {
  if (NULL.test(source)) return NULL_SCALAR;
  if (TRUE.test(source) || FALSE.test(source)) return { kind: 'bool', value: TRUE.test(source) };
  if (FLOAT.test(source)) return { kind: 'float', value: float11(source) };
  if (INT.test(source)) return { kind: 'int', value: int11(source) };
  const date = DATE.exec(source) ?? DATE_TIME.exec(source);
  if (date) return readDate(source, date.slice(1, 4).map(Number));
  if (source === '=' || source === '<<') throw new ScalarError(`a plain ${source} has no value in YAML 1.1; quote it`);
  return TEXT(source);
}

/** The reading that an explicit tag (`!!int "3"`) asks for; undefined for tags the safe loader does not know. */
export function readTagged11(tag: string, source: string): Scalar | undefined {
  switch (tag.replace('tag:yaml.org,2002:', '!!')) {
    case '!!str':
      return TEXT(source);
    case '!!int':
      return { kind: 'int', value: int11(source) };
    case '!!float':
      return { kind: 'float', value: float11(source) };
    case '!!bool':
      if (/^(?:yes|no|true|false|on|off)$/i.test(source))
        return { kind: 'bool', value: /^(?:yes|true|on)$/i.test(source) };
      throw new ScalarError(`not a YAML 1.1 boolean: ${source}`);
    case '!!null':
      return NULL_SCALAR;
    default:
      return undefined;
  }
}

/** The YAML 1.2 core schema's reading of a plain scalar. */
export function readScalar12(source: string): Scalar {
  if (NULL.test(source)) return NULL_SCALAR;
  if (/^(?:true|True|TRUE|false|False|FALSE)$/.test(source)) return { kind: 'bool', value: /^t/i.test(source) };
  if (/^[-+]?[0-9]+$/.test(source)) return { kind: 'int', value: exact(BigInt(source.replace(/^[-+]/, '')), source) };
  if (/^0o[0-7]+$/.test(source) || /^0x[0-9a-fA-F]+$/.test(source))
    return { kind: 'int', value: exact(BigInt(source), source) };
  if (/^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/.test(source))
    return { kind: 'float', value: Number(source) };
  if (/^[-+]?\.(?:inf|Inf|INF)$/.test(source))
    return { kind: 'float', value: source.startsWith('-') ? -Infinity : Infinity };
  if (/^\.(?:nan|NaN|NAN)$/.test(source)) return { kind: 'float', value: Number.NaN };
  return TEXT(source);
}

/** Whether both readings give the same value. 1.1 `1.` and 1.2 `1.` are one value; int 1 and float 1.0 are two. */
export function sameScalar(a: Scalar, b: Scalar): boolean {
  return a.kind === b.kind && Object.is(a.value, b.value);
}

/** A spelling that YAML 1.1 and 1.2 read alike; undefined for dates, which YAML 1.2 does not have. */
export function agreedSpelling(scalar: Scalar): string | undefined {
  switch (scalar.kind) {
    case 'text':
      return JSON.stringify(scalar.value);
    case 'float':
      return floatSpelling(scalar.value as number);
    case 'date':
      return undefined;
    default:
      return String(scalar.value);
  }
}

/** A float as both YAML readers take it: PyYAML wants a dot, and a sign in the exponent. */
export function floatSpelling(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? '.nan' : value > 0 ? '.inf' : '-.inf';
  const digits = Object.is(value, -0) ? '-0' : String(value);
  if (!digits.includes('e')) return digits.includes('.') ? digits : `${digits}.0`;
  return digits.includes('.') ? digits : digits.replace('e', '.0e');
}

/** A scalar in words for a message: `the text "1e-4"`, `the number 8`. */
export function scalarWords(scalar: Scalar): string {
  switch (scalar.kind) {
    case 'text':
      return `the text ${JSON.stringify(scalar.value)}`;
    case 'int':
      return `the integer ${scalar.value}`;
    case 'float':
      return `the number ${floatSpelling(scalar.value as number)}`;
    case 'date':
      return `the date ${scalar.value}`;
    default:
      return String(scalar.value);
  }
}

function exact(magnitude: bigint, source: string): number | bigint {
  const value = source.startsWith('-') ? -magnitude : magnitude;
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

function int11(source: string): number | bigint {
  const digits = source.replaceAll('_', '').replace(/^[-+]/, '');
  try {
    if (/^0[0-9]/.test(digits)) return exact(BigInt(`0o${digits}`), source);
    if (digits.includes(':'))
      return exact(
        digits.split(':').reduce((sum, part) => sum * 60n + BigInt(part), 0n),
        source,
      );
    if (/^0b$|^0x$|^$/.test(digits)) throw new SyntaxError();
    return exact(BigInt(digits), source);
  } catch {
    throw new ScalarError(`not a YAML 1.1 integer: ${source}`);
  }
}

function float11(source: string): number {
  const digits = source.replaceAll('_', '').toLowerCase();
  const sign = digits.startsWith('-') ? -1 : 1;
  const bare = digits.replace(/^[-+]/, '');
  if (bare === '.inf') return sign * Infinity;
  if (bare === '.nan') return Number.NaN;
  const value = bare.split(':').reduce((sum, part) => sum * 60 + (part === '' ? Number.NaN : Number(part)), 0);
  if (Number.isNaN(value)) throw new ScalarError(`not a YAML 1.1 number: ${source}`);
  return sign * value;
}

function readDate(source: string, [year, month, day]: number[]): Scalar {
  const date = new Date(Date.UTC(year, month - 1, day));
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day)
    throw new ScalarError(`not a date, though YAML 1.1 reads it as one: ${source}; quote it`);
  return { kind: 'date', value: source };
}
