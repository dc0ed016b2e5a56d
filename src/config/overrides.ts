/** `--set a.b.c=value`: puts values over those of the file, before anything is checked. */
import { nearest, type Problem, RelicError } from '../errors.ts';
import { keyPaths, type SchemaNode } from './schema-node.ts';
import { readYaml11, type YamlMap, type YamlValue } from './yaml11.ts';

export interface OverrideFindings {
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/**
 * Applies `key=value` texts to `root` in order; the last one of a key counts. A value is a YAML 1.1 scalar, or a
 * list or mapping in brackets. Unlike in a file, an unknown key is a problem: it was typed a moment ago.
 */
export function applyOverrides(root: YamlMap, settings: readonly string[], schema: SchemaNode): OverrideFindings {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  for (const setting of settings) {
    const equals = setting.indexOf('=');
    const path = setting.slice(0, Math.max(equals, 0)).trim();
    const where = `--set ${path === '' ? setting : path}`;
    const fault = path === '' ? 'expected key.path=value' : unknownPath(path, schema);
    if (fault !== undefined) {
      problems.push({ where, message: fault });
      continue;
    }
    try {
      const reading = readYaml11(setting.slice(equals + 1), where);
      const value = reading.root;
      if ((value.kind === 'map' || value.kind === 'list') && !value.flow) {
        problems.push({
          where,
          message: 'expected one value, a [list] or a {mapping}; quote text that has ": " in it',
        });
        continue;
      }
      warnings.push(...reading.warnings.map(({ message }) => ({ where, message })));
      place(root, path.split('.'), moved(value));
    } catch (error) {
      if (!(error instanceof RelicError)) throw error;
      problems.push(...error.problems.map(({ message }) => ({ where, message })));
    }
  }
  return { problems, warnings };
}

function unknownPath(path: string, schema: SchemaNode): string | undefined {
  const known = keyPaths(schema);
  if (known.includes(path)) return undefined;
  const last = path.split('.').at(-1);
  const hint = nearest(path, known) ?? known.find((other) => other.endsWith(`.${last}`));
  return `unknown key${hint === undefined ? '' : `; did you mean ${hint}?`}`;
}

/** The value with `--set` as its place: its key path is added where a problem is told. */
function moved(value: YamlValue): YamlValue {
  if (value.kind === 'list') return { ...value, items: value.items.map(moved), where: SET };
  if (value.kind !== 'map') return { ...value, where: SET };
  const entries = [...value.entries].map(([key, entry]) => [key, { value: moved(entry.value), where: SET }] as const);
  return { ...value, entries: new Map(entries), where: SET };
}

const SET = '--set';

function place(root: YamlMap, path: readonly string[], value: YamlValue): void {
  let map = root;
  for (const key of path.slice(0, -1)) {
    const inner = map.entries.get(key)?.value;
    const next: YamlMap = inner?.kind === 'map' ? inner : { kind: 'map', entries: new Map(), where: SET, flow: true };
    if (next !== inner) map.entries.set(key, { value: next, where: SET });
    map = next;
  }
  map.entries.set(path[path.length - 1], { value, where: SET });
}
