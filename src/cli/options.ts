/** Options of a command line: declared as data, read by `node:util`, faults worded as RELIC_USAGE. */
import { parseArgs } from 'node:util';
import { nearest, RelicError, shown } from '../errors.ts';

export interface Option {
  readonly type: 'flag' | 'text' | 'integer' | 'list';
  /** Name of the value in help: `FILE`. */
  readonly value?: string;
  readonly description: string;
  readonly required?: boolean;
  /** Smallest integer allowed. */
  readonly minimum?: number;
}

/** Options by their name on the command line, without the dashes. */
export type Options = Readonly<Record<string, Option>>;

type ValueOf<O extends Option> = O['type'] extends 'flag'
  ? boolean
  : O['type'] extends 'list'
    ? readonly string[]
    : (O['type'] extends 'integer' ? number : string) | (O extends { readonly required: true } ? never : undefined);

export type Values<O extends Options> = { readonly [Name in keyof O]: ValueOf<O[Name]> };

/**
 * Reads `args` against `options`.
 * @param program how the user calls this command, for hints: `relic-train pack`.
 * @throws RelicError RELIC_USAGE for an unknown option or word, a missing or unwanted value, or a number that is none.
 */
export function parseOptions<O extends Options>(args: readonly string[], options: O, program: string): Values<O> {
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(
      Object.entries(options).map(([name, { type }]) => [name, { type: type === 'flag' ? 'boolean' : 'string' }]),
    ),
    strict: false,
    tokens: true,
  });
  const values = new Map<string, boolean | number | string | string[]>();
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional') throw unexpected(token.value, program);
    const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined;
    if (option === undefined) throw unknownOption(token.rawName, options, program);
    if (option.type === 'flag') {
      if (token.value !== undefined) throw usage(`--${token.name} takes no value`, program, shown(token.value));
      values.set(token.name, true);
      continue;
    }
    const text = token.inlineValue || !token.value?.startsWith('--') ? token.value : undefined;
    if (text === undefined || text === '') throw usage(`--${token.name} needs a value`, program);
    if (option.type === 'list') values.set(token.name, [...((values.get(token.name) as string[]) ?? []), text]);
    else values.set(token.name, option.type === 'integer' ? toInteger(token.name, text, option, program) : text);
  }
  for (const [name, option] of Object.entries(options)) {
    if (option.required && !values.has(name)) throw usage(`--${name} is required`, program);
    if (option.type === 'flag' && !values.has(name)) values.set(name, false);
    if (option.type === 'list' && !values.has(name)) values.set(name, []);
  }
  return Object.fromEntries(values) as Values<O>;
}

function toInteger(name: string, text: string, { minimum = 0 }: Option, program: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= minimum) return value;
  throw new RelicError('RELIC_USAGE', `--${name}`, {
    expected: `an integer of at least ${minimum}`,
    received: shown(text),
    fix: `see ${program} --help`,
  });
}

function unknownOption(rawName: string, options: Options, program: string): RelicError {
  const near = nearest(rawName.replace(/^-+/, ''), Object.keys(options));
  return new RelicError('RELIC_USAGE', `unknown option ${rawName}`, {
    fix: near === undefined ? `see ${program} --help` : `did you mean --${near}? See ${program} --help`,
  });
}

function unexpected(word: string, program: string): RelicError {
  return new RelicError('RELIC_USAGE', `unexpected argument ${shown(word)}`, { fix: `see ${program} --help` });
}

function usage(subject: string, program: string, received?: string): RelicError {
  return new RelicError('RELIC_USAGE', subject, {
    ...(received === undefined ? {} : { received }),
    fix: `see ${program} --help`,
  });
}
