/**
 * Constructors for one config key each: a typebox schema that carries its default, its rule and its one-sentence
 * meaning. A key without a default is required. The annotations beyond JSON Schema are read by `resolve.ts` alone.
 */
import Type, { type TSchema } from 'typebox';

/** Bounds of a number, as JSON Schema words them. */
export interface Bounds {
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly exclusiveMaximum?: number;
}

interface Defaulted<Value> {
  readonly default?: Value;
  /** Why the bounds are what they are; told when they are broken. */
  readonly reason?: string;
}

/** A default that another key gives, such as `max_lr` from `lr`; `rules.ts` fills it in. */
interface Derived {
  /** Words for the reference, in place of a default value. */
  readonly derivedDefault?: string;
}

export function integer(description: string, options: Bounds & Defaulted<number> = {}) {
  return Type.Integer({ description, ...options });
}

export function number(description: string, options: Bounds & Defaulted<number> & Derived = {}) {
  return Type.Number({ description, ...options });
}

export function flag(description: string, value: boolean) {
  return Type.Boolean({ description, default: value });
}

export function text(
  description: string,
  options: Defaulted<string> & Derived & { pattern?: string; patternMeaning?: string } = {},
) {
  return Type.String({ description, minLength: 1, ...options });
}

/**
 * Text or null. `integers`: a whole number is taken as its decimal digits (run ids, species).
 * `blankIsNull`: an empty text means null.
 */
export function optionalText(
  description: string,
  options: { integers?: boolean; blankIsNull?: boolean; pattern?: string; patternMeaning?: string } = {},
) {
  return optional(Type.String({ minLength: 1, ...options }), description);
}

/** `schema` or null, null unless given. */
export function optional<Schema extends TSchema>(schema: Schema, description: string) {
  return Type.Union([schema, Type.Null()], { description, default: null });
}

/**
 * One of a closed list of names, in any case. `aliases` are other spellings of a name. With `open`, other names are
 * left for `rules.ts` to settle.
 */
export function oneOf<Names extends string[]>(
  names: readonly [...Names],
  description: string,
  options: Defaulted<Names[number]> & { aliases?: Record<string, Names[number]>; open?: boolean; kind?: string } = {},
) {
  return Type.Enum(names, { description, ...options });
}

export function list<Item extends TSchema>(
  items: Item,
  description: string,
  options: { default?: readonly unknown[]; minItems?: number } = {},
) {
  return Type.Array(items, { description, ...options });
}

/** A mapping that must be present. */
export function section<Fields extends Record<string, TSchema>>(
  fields: Fields,
  options: { ignored?: readonly string[] } = {},
) {
  return Type.Object(fields, options);
}

/** A mapping that may be left out: all of its keys have defaults. */
export function optionalSection<Fields extends Record<string, TSchema>>(fields: Fields) {
  return Type.Object(fields, { default: {} });
}
