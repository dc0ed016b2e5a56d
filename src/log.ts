/**
 * How events are worded (contract 1.3), and where they go: a stage's log (artifacts/stage-log.ts), nowhere, or the
 * console. Numbers are formatted here as Python formats them, since the lines are read by tools written for it.
 */

/** A number that is a float in the sense of Python, even when it is whole: 1.0, not 1. See {@link float}. */
export class Float {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** Marks `value` as a float: JavaScript cannot tell 1.0 from 1, but logs and CSV files do. */
export function float(value: number): Float {
  return new Float(value);
}

/** A plain number is an integer; one with a fraction is printed as a {@link Float}. An undefined field is left out. */
export type FieldValue = string | number | bigint | boolean | null | undefined | Float;
/** The names `event`, `level`, `logger` and `time` are taken by the record itself. */
export type Fields = Readonly<Record<string, FieldValue>>;

/** Receives what happens in a stage. Its methods return when the record is with the operating system. */
export interface EventLog {
  /** An INFO record `name | k=v | k=v`, keys sorted. */
  event(name: string, fields?: Fields): void;
  /** An INFO record of free text; `fields` go to the JSONL twin alone, whose event is `heartbeat`. */
  heartbeat(text: string, fields?: Fields): void;
  /** As {@link event}, at level WARNING. */
  warning(name: string, fields?: Fields): void;
  /** As {@link event}, at level ERROR. */
  error(name: string, fields?: Fields): void;
  /**
   * A record that RELIC's own logs lack, such as the engine or the class balance. Under `run_config.compat` it goes to
   * the JSONL twin alone, so that log.log has RELIC's lines and no other.
   */
  note(level: 'info' | 'warning', name: string, fields?: Fields): void;
  close(): void;
}

/** The log of ranks other than 0: it forgets everything. */
export function nullLog(): EventLog {
  const nothing = () => {};
  return { event: nothing, heartbeat: nothing, warning: nothing, error: nothing, note: nothing, close: nothing };
}

/** `name | a=1 | b=0.500000`: keys sorted by code point, floats with six decimals, the rest as Python's str(). */
export function eventBody(name: string, fields: Fields): string {
  const keys = Object.keys(fields).filter((key) => fields[key] !== undefined);
  return [name, ...keys.sort().map((key) => `${key}=${fieldText(fields[key])}`)].join(' | ');
}

function fieldText(value: FieldValue): string {
  if (value === null) return 'None';
  if (value instanceof Float) return formatFixed(value.value, 6);
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value).toString() : formatFixed(value, 6);
  return String(value);
}

/** C's and Python's `%.{digits}f`: the exact value rounded to nearest, ties to even; nan, inf and -inf as words. */
export function formatFixed(value: number, digits: number): string {
  if (Number.isNaN(value)) return 'nan';
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  const magnitude = Math.abs(value);
  if (magnitude === Number.POSITIVE_INFINITY) return `${sign}inf`;
  // toFixed turns to exponents at 1e21, where every double is whole.
  if (magnitude >= 1e21) return `${sign}${BigInt(magnitude)}${digits > 0 ? `.${'0'.repeat(digits)}` : ''}`;
  const rounded = magnitude.toFixed(digits);
  // toFixed rounds the exact value too, but ties up. A tie is an odd multiple of 2^-(digits+1): k/2 * 10^-digits
  // is dyadic only so. There the digit below an odd last digit is the even one, so it never borrows.
  const tie = Math.abs((magnitude * 2 ** (digits + 1)) % 2) === 1;
  const last = Number(rounded[rounded.length - 1]);
  return sign + (tie && last % 2 === 1 ? rounded.slice(0, -1) + (last - 1) : rounded);
}

/** A log of the program outside any stage: `LEVEL:relic_train:text` lines. */
export interface ConsoleLog {
  info(text: string): void;
  warn(text: string): void;
  error(text: string): void;
}

/** @param stream where lines go, such as `process.stderr`. */
export function consoleLog({ stream }: { stream: { write(text: string): unknown } }): ConsoleLog {
  const at = (level: string) => (text: string) => {
    stream.write(`${level}:relic_train:${text}\n`);
  };
  return { info: at('INFO'), warn: at('WARNING'), error: at('ERROR') };
}
