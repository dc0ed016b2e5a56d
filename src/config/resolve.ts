/**
 * Walks a schema and the values read for it side by side: fills defaults, converts as Python does, applies each
 * key's own rule, and gathers every fault instead of stopping at the first.
 */
import { nearest, type Problem, shown } from '../errors.ts';
import { toBool, toFloat, toInt, toItemText, toText } from './coerce.ts';
import type { Bounds } from './fields.ts';
import { keyPaths, type SchemaNode } from './schema-node.ts';
import type { YamlMap, YamlScalar, YamlValue } from './yaml11.ts';
import { floatSpelling } from './yaml11-scalar.ts';

/** Values read so far; what a problem left undecided is undefined. */
export type Draft = Record<string, unknown>;

/** Where a value stands and its key: `v3.yaml:12:5 training_config.epochs`. */
export function location(where: string, path: string): string {
  return path === '' ? where : `${where} ${path}`;
}

export class Resolver {
  readonly problems: Problem[] = [];
  readonly warnings: Problem[] = [];
  readonly #allPaths: readonly string[];

  constructor(root: SchemaNode) {
    this.#allPaths = keyPaths(root);
  }

  /** The resolved value, or undefined after recording why there is none. */
  resolve(schema: SchemaNode, value: YamlValue, path: string): unknown {
    switch (schema['~kind']) {
      case 'Object':
        return this.#object(schema, value, path);
      case 'Array':
        return this.#list(schema, value, path);
      case 'Union':
        return this.#union(schema, value, path);
      default:
        if (value.kind === 'map' || value.kind === 'list') return this.#refuse(schema, value, path);
        return this.#scalar(schema, value, path);
    }
  }

  #object(schema: SchemaNode, value: YamlValue, path: string): Draft | undefined {
    const name = path === '' ? 'Config root' : `Config section '${path}'`;
    if (value.kind !== 'map')
      return this.#problem(value, path, `${name} must be a mapping: received ${received(value)}`);
    const fields = schema.properties ?? {};
    this.#unknownKeys(value, Object.keys(fields), schema.ignored ?? [], path);
    const draft: Draft = {};
    const missing: string[] = [];
    for (const [key, field] of Object.entries(fields)) {
      const entry = value.entries.get(key);
      const inner = path === '' ? key : `${path}.${key}`;
      if (entry) draft[key] = this.resolve(field, entry.value, inner);
      else if (field['~kind'] === 'Object' && field.default !== undefined)
        draft[key] = this.resolve(field, { kind: 'map', entries: new Map(), where: value.where, flow: false }, inner);
      else if (field.default !== undefined) draft[key] = structuredClone(field.default);
      else if (field['~kind'] === 'Object')
        this.#problem(value, inner, `Config section '${inner}' must be a mapping: received nothing`);
      else if (field.derivedDefault === undefined) missing.push(key);
    }
    if (missing.length > 0) this.#problem(value, path, `missing required keys: ${missing.join(', ')}`);
    return draft;
  }

  #unknownKeys(map: YamlMap, known: readonly string[], ignored: readonly string[], path: string): void {
    for (const [key, { where }] of map.entries) {
      if (known.includes(key) || ignored.includes(key)) continue;
      const hint = nearest(key, known) ?? this.#allPaths.find((other) => other.endsWith(`.${key}`));
      const message = `unknown key, ignored${hint === undefined ? '' : `; did you mean ${hint}?`}`;
      this.warnings.push({ where: location(where, path === '' ? key : `${path}.${key}`), message });
    }
  }

  #list(schema: SchemaNode, value: YamlValue, path: string): unknown[] | undefined {
    const item = schema.items as SchemaNode;
    const names = item['~kind'] !== 'Integer';
    if (value.kind !== 'list') {
      const of = names ? 'must be a sequence of strings' : 'must be a list of integers';
      return this.#problem(value, path, `${of}: received ${received(value)}`);
    }
    if (value.items.length < (schema.minItems ?? 0)) return this.#problem(value, path, 'must not be empty');
    return value.items.map((each, index) => {
      const scalar = names && each.kind !== 'map' && each.kind !== 'list';
      const read: YamlValue = scalar ? { kind: 'text', value: toItemText(each), where: each.where } : each;
      return this.resolve(item, read, `${path}[${index}]`);
    });
  }

  /** `X or null`, or a number or one of some names. */
  #union(schema: SchemaNode, value: YamlValue, path: string): unknown {
    const [first, second] = schema.anyOf as [SchemaNode, SchemaNode];
    if (second['~kind'] === 'Null') {
      const blank = first.blankIsNull && value.kind === 'text' && String(value.value).trim() === '';
      return value.kind === 'null' || blank ? null : this.resolve(first, value, path);
    }
    const isNumber = value.kind !== 'text' || toFloat(value) !== undefined;
    return this.resolve(isNumber ? first : second, value, path);
  }

  #scalar(schema: SchemaNode, value: YamlScalar, path: string): unknown {
    switch (schema['~kind']) {
      case 'Integer':
        return this.#bounded(schema, value, path, toInt(value));
      case 'Number':
        return this.#bounded(schema, value, path, toFloat(value));
      case 'Boolean':
        return toBool(value) ?? this.#refuse(schema, value, path);
      case 'Enum':
        return this.#name(schema, value, path);
      default:
        return this.#text(schema, value, path);
    }
  }

  #bounded(schema: SchemaNode, value: YamlScalar, path: string, number: number | undefined): number | undefined {
    if (number === undefined) return this.#refuse(schema, value, path);
    if (within(schema, number)) return number;
    const why = schema.reason === undefined ? '' : ` (${schema.reason})`;
    return this.#problem(value, path, `expected ${kindWords(schema)}, received ${received(value)}${why}`);
  }

  #text(schema: SchemaNode, value: YamlScalar, path: string): string | undefined {
    const raw = schema.integers && value.kind === 'int' ? String(value.value) : toText(value);
    if (raw === undefined) return this.#refuse(schema, value, path);
    const text = schema.pattern === undefined ? raw : raw.trim();
    if (schema.minLength !== undefined && text.trim() === '')
      return this.#problem(value, path, 'must be a non-empty string: received ""');
    if (schema.pattern !== undefined && !new RegExp(schema.pattern).test(text))
      return this.#problem(value, path, `expected ${schema.patternMeaning}, received ${received(value)}`);
    return text;
  }

  #name(schema: SchemaNode, value: YamlScalar, path: string): string | undefined {
    const text = toText(value)?.trim().toLowerCase();
    if (text === undefined || text === '')
      return this.#problem(
        value,
        path,
        `must be a non-empty string: expected ${kindWords(schema)}, received ${received(value)}`,
      );
    const name = schema.aliases?.[text] ?? text;
    if (schema.enum?.includes(name) || schema.open) return name;
    const hint = nearest(text, schema.enum ?? []);
    const also = hint === undefined ? '' : `; did you mean ${hint}?`;
    const what = schema.kind ?? path.split('.').at(-1);
    const verb = path === 'model_config.model' || what === 'metric' ? 'Unknown' : 'Unsupported';
    return this.#problem(value, path, `${verb} ${what}: ${text}: expected ${kindWords(schema)}${also}`);
  }

  #refuse(schema: SchemaNode, value: YamlValue, path: string): undefined {
    const must = COMPATIBLE[schema['~kind']] ?? 'must be a string';
    const wanted = schema.patternMeaning ?? kindWords(schema);
    return this.#problem(value, path, `${must}: expected ${wanted}, received ${received(value)}`);
  }

  #problem(value: YamlValue, path: string, message: string): undefined {
    this.problems.push({ where: location(value.where, path), message });
  }
}

const COMPATIBLE: Readonly<Record<string, string>> = {
  Integer: 'must be int-compatible',
  Number: 'must be float-compatible',
  Boolean: 'must be bool-compatible',
};

function within(bounds: Bounds, value: number): boolean {
  return (
    value >= (bounds.minimum ?? -Infinity) &&
    value <= (bounds.maximum ?? Infinity) &&
    value > (bounds.exclusiveMinimum ?? -Infinity) &&
    value < (bounds.exclusiveMaximum ?? Infinity)
  );
}

/** What a key takes, in words: `an integer at least 1`, `one of adamw, sgd`. */
export function kindWords(schema: SchemaNode): string {
  switch (schema['~kind']) {
    case 'Enum':
      return `one of ${schema.enum?.join(', ')}`;
    case 'Boolean':
      return 'true or false';
    case 'String':
      return schema.minLength === undefined ? 'text' : 'a non-empty string';
    case 'Array':
      return `a list, each ${kindWords(schema.items as SchemaNode)}`;
    case 'Object':
      return 'a mapping';
    case 'Null':
      return 'null';
    case 'Union':
      return (schema.anyOf ?? []).map(kindWords).join(' or ');
    default: {
      const bounds = [
        schema.exclusiveMinimum === undefined ? '' : `above ${schema.exclusiveMinimum}`,
        schema.minimum === undefined ? '' : `at least ${schema.minimum}`,
        schema.exclusiveMaximum === undefined ? '' : `below ${schema.exclusiveMaximum}`,
        schema.maximum === undefined ? '' : `at most ${schema.maximum}`,
      ].filter((words) => words !== '');
      const noun = schema['~kind'] === 'Integer' ? 'an integer' : 'a finite number';
      return bounds.length === 0 ? noun : `${noun} ${bounds.join(' and ')}`;
    }
  }
}

function received(value: YamlValue): string {
  if (value.kind === 'map') return `a mapping of ${value.entries.size} keys`;
  if (value.kind === 'list') return `a list of ${value.items.length}`;
  if (value.kind === 'date') return `${value.value} (date; quote it to make it text)`;
  return value.kind === 'float' ? `${floatSpelling(value.value as number)} (number)` : shown(value.value);
}
