/** From a YAML file to a checked, defaulted, frozen {@link Config}. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Problem, RelicError } from '../errors.ts';
import { type Compat, resolveCompat } from './compat.ts';
import { warnOfNoEffect } from './effects.ts';
import { applyOverrides } from './overrides.ts';
import { location, Resolver } from './resolve.ts';
import { applyRules, type Draft, type Findings } from './rules.ts';
import { type Config, ConfigSchema } from './schema.ts';
import { asNode } from './schema-node.ts';
import { readYaml11, type YamlMap, type YamlValue } from './yaml11.ts';

export interface LoadOptions {
  /** `key.path=value` texts, applied over the file in order. */
  readonly set?: readonly string[];
}

export interface LoadedConfig {
  readonly config: Config;
  /** SHA-256, in hex, of {@link canonicalJson} of the config: equal for equal settings, however they were written. */
  readonly hash: string;
  readonly warnings: readonly Problem[];
  readonly source: { readonly path: string; readonly text: string };
  readonly compat: Compat;
}

const SHIPPED = /^configs\/[\w.-]+\.yaml$/;
const PACKAGE = fileURLToPath(new URL('../../', import.meta.url));

/**
 * Reads and checks a config file. A name such as `configs/demo.yaml` that is not in the working directory means the
 * file that the package brings.
 * @throws RelicError RELIC_CONFIG_NOT_FOUND, RELIC_CONFIG_SYNTAX, or RELIC_CONFIG_INVALID with every fault at once
 */
export function loadConfig(name: string, options: LoadOptions = {}): LoadedConfig {
  const path = existsSync(name) || !SHIPPED.test(name) ? name : PACKAGE + name;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new RelicError('RELIC_CONFIG_NOT_FOUND', 'Cannot read the config file', {
      expected: 'a YAML file',
      received: (cause as NodeJS.ErrnoException).code ?? String(cause),
      where: name,
      fix: 'give --config the path of a file; paths are relative to the working directory',
      cause,
    });
  }
  return parseConfig(text, path, options);
}

/** As {@link loadConfig}, for text already read; `path` stands in messages only. */
export function parseConfig(text: string, path: string, options: LoadOptions = {}): LoadedConfig {
  const reading = readYaml11(text, path);
  const schema = asNode(ConfigSchema);
  const resolver = new Resolver(schema);
  if (reading.root.kind !== 'map') {
    resolver.resolve(schema, reading.root, '');
    throw invalid(path, resolver.problems);
  }
  const root: YamlMap = reading.root;
  const overrides = applyOverrides(root, options.set ?? [], schema);
  const draft = resolver.resolve(schema, root, '') as Draft;

  const problems = [...overrides.problems, ...resolver.problems];
  const warnings = [...reading.warnings, ...overrides.warnings, ...resolver.warnings];
  const found: Findings = {
    given: (key) => find(root, key) !== undefined,
    problem: (key, message) => void problems.push({ where: place(root, key), message }),
    warn: (key, message) => void warnings.push({ where: place(root, key), message }),
  };
  const compat = resolveCompat(draft.run_config?.compat ?? 'none');
  applyRules(draft, found, compat);
  if (problems.length > 0) throw invalid(path, problems);

  const config = deepFreeze(draft as Config);
  warnOfNoEffect(config, found, compat);
  const hash = createHash('sha256').update(canonicalJson(config)).digest('hex');
  return Object.freeze({
    config,
    hash,
    warnings: Object.freeze(warnings),
    source: Object.freeze({ path, text }),
    compat,
  });
}

/** JSON with sorted keys and no spaces: one text for equal values. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

function invalid(path: string, problems: readonly Problem[]): RelicError {
  const faults = problems.length === 1 ? '1 fault' : `${problems.length} faults`;
  return new RelicError('RELIC_CONFIG_INVALID', `The config ${path} has ${faults}`, { problems });
}

/** The value at `a.b[0]`, if the user wrote it. */
function find(root: YamlValue, path: string): YamlValue | undefined {
  let value: YamlValue | undefined = root;
  for (const key of path.replaceAll('[', '.').replaceAll(']', '').split('.')) {
    if (value?.kind === 'map') value = value.entries.get(key)?.value;
    else value = value?.kind === 'list' ? value.items[Number(key)] : undefined;
  }
  return value;
}

/** Where `path` stands, or where its nearest written ancestor does. */
function place(root: YamlMap, path: string): string {
  for (let above = path; above !== ''; above = above.slice(0, Math.max(above.lastIndexOf('.'), 0))) {
    const value = find(root, above);
    if (value) return location(value.where, path);
  }
  return location(root.where, path);
}

function deepFreeze<T>(value: T): T {
  if (value !== null && typeof value === 'object') {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}
