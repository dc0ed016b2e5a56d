/**
 * Reads a config's text as PyYAML's safe loader does (YAML 1.1), keeping where each value stands, and warns wherever
 * a YAML 1.2 reader would see something else. The `yaml` package parses the syntax only; scalars, merge keys and
 * repeated keys are settled here.
 */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseDocument,
  type Scalar as ScalarNode,
  type YAMLMap,
} from 'yaml';
import { type Problem, RelicError } from '../errors.ts';
import {
  agreedSpelling,
  readScalar11,
  readScalar12,
  readTagged11,
  type Scalar,
  ScalarError,
  sameScalar,
  scalarWords,
} from './yaml11-scalar.ts';

/** A value and where it stands: `file:line:column`, or `--set`. */
export type YamlValue = YamlMap | YamlList | YamlScalar;
export interface YamlScalar extends Scalar {
  readonly where: string;
}
export interface YamlList {
  readonly kind: 'list';
  readonly items: readonly YamlValue[];
  readonly where: string;
  /** Written in brackets. */
  readonly flow: boolean;
}
export interface YamlEntry {
  readonly value: YamlValue;
  /** Where the key stands. */
  readonly where: string;
}
export interface YamlMap {
  readonly kind: 'map';
  readonly entries: Map<string, YamlEntry>;
  readonly where: string;
  /** Written in braces. */
  readonly flow: boolean;
}

export interface YamlReading {
  readonly root: YamlValue;
  readonly warnings: readonly Problem[];
}

/** Far above any config; stops aliases of aliases from unfolding without end. */
const MAX_VALUES = 20_000;

/**
 * @param name stands before every position, usually the file's path
 * @throws RelicError RELIC_CONFIG_SYNTAX with the first fault and its `name:line:column`
 */
export function readYaml11(text: string, name: string): YamlReading {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    version: '1.1',
    schema: 'failsafe',
    merge: false,
    uniqueKeys: false,
    prettyErrors: false,
    lineCounter: lines,
  });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${name}:${line}:${col}`;
  };
  // Later faults are mostly echoes of the first.
  const [first] = document.errors;
  if (first) throw fault(at(first.pos[0]), first.message);
  const reader = new Reader(document, at);
  const root = reader.value(document.contents, new Set());
  return { root, warnings: reader.warnings };
}

class Reader {
  readonly warnings: Problem[] = [];
  readonly #document: Document.Parsed;
  readonly #at: (offset: number) => string;
  #values = 0;

  constructor(document: Document.Parsed, at: (offset: number) => string) {
    this.#document = document;
    this.#at = at;
  }

  /** @param open anchors being unfolded, to find a value that contains itself */
  value(node: ParsedNode | null, open: ReadonlySet<unknown>): YamlValue {
    const where = this.#at(node?.range[0] ?? 0);
    if (++this.#values > MAX_VALUES) throw fault(where, `more than ${MAX_VALUES} values; are aliases nested?`);
    if (node === null) return { kind: 'null', value: null, where };
    if (isAlias(node)) {
      const target = node.resolve(this.#document) as ParsedNode | undefined;
      if (target === undefined || open.has(target)) throw fault(where, `alias *${node.source} has no value of its own`);
      return this.value(target, open);
    }
    if (isScalar(node)) return { ...this.#scalar(node, where), where };
    const inside = new Set([...open, node]);
    this.#refuseTag(node.tag, isMap(node) ? '!!map' : '!!seq', where);
    if (isSeq(node)) {
      const items = (node.items as ParsedNode[]).map((item) => this.value(item, inside));
      return { kind: 'list', items, where, flow: node.flow === true };
    }
    return { kind: 'map', entries: this.#entries(node as YAMLMap.Parsed, inside), where, flow: node.flow === true };
  }

  #entries(node: YAMLMap.Parsed, open: ReadonlySet<unknown>): Map<string, YamlEntry> {
    const merged = new Map<string, YamlEntry>();
    const own = new Map<string, YamlEntry>();
    for (const { key, value } of node.items) {
      const where = this.#at(key?.range[0] ?? node.range[0]);
      if (!isScalar(key)) throw fault(where, 'a key must be a plain name');
      const read = this.value(value, open);
      if (key.type === 'PLAIN' && key.source === '<<') {
        this.warnings.push({ where, message: '<< merges a mapping in YAML 1.1 only; write its keys out' });
        for (const [name, entry] of mergeSource(read)) merged.set(name, entry);
        continue;
      }
      const name = key.source ?? String(key.value);
      const earlier = own.get(name);
      if (earlier) {
        const message = `repeated key ${name}: this value counts, the one at ${earlier.where} is dropped; delete one`;
        this.warnings.push({ where, message });
      }
      own.set(name, { value: read, where });
    }
    return new Map([...merged, ...own]);
  }

  #scalar(node: ScalarNode, where: string): Scalar {
    const source = node.source ?? '';
    try {
      if (node.tag !== undefined && node.tag !== '!') {
        const tagged = readTagged11(node.tag, source);
        if (tagged === undefined) throw new ScalarError(`unknown tag ${node.tag}`);
        return tagged;
      }
      if (node.type !== 'PLAIN') return { kind: 'text', value: source };
      const scalar = readScalar11(source);
      this.#compare(source, scalar, readScalar12(source), where);
      return scalar;
    } catch (error) {
      throw error instanceof ScalarError ? fault(where, error.message) : error;
    }
  }

  #compare(source: string, old: Scalar, now: Scalar, where: string): void {
    if (sameScalar(old, now)) return;
    const advice = [old, now]
      .map((scalar) => ({ spelling: agreedSpelling(scalar), words: scalarWords(scalar) }))
      .filter(({ spelling }) => spelling !== undefined)
      .map(({ spelling, words }) => `${spelling} for ${words}`);
    const message = `${source} is read as ${scalarWords(old)} (YAML 1.1), by YAML 1.2 readers as ${scalarWords(now)}; write ${advice.join(' or ')}`;
    this.warnings.push({ where, message });
  }

  #refuseTag(tag: string | undefined, allowed: string, where: string): void {
    if (tag !== undefined && tag.replace('tag:yaml.org,2002:', '!!') !== allowed)
      throw fault(where, `unknown tag ${tag}`);
  }
}

/** The entries that `<<: value` brings; of several mappings the first wins, as in PyYAML. */
function mergeSource(value: YamlValue): Iterable<[string, YamlEntry]> {
  if (value.kind === 'map') return value.entries;
  if (value.kind !== 'list') throw fault(value.where, '<< needs a mapping or a list of mappings');
  return value.items.toReversed().flatMap((item) => {
    if (item.kind !== 'map') throw fault(item.where, '<< needs a mapping or a list of mappings');
    return [...item.entries];
  });
}

function fault(where: string, message: string): RelicError {
  return new RelicError('RELIC_CONFIG_SYNTAX', 'The text is not YAML', { problems: [{ where, message }] });
}
