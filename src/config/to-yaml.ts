/** Writes a resolved config so that YAML 1.1 and 1.2 readers, and `loadConfig`, read the same values back. */
import type { Config } from './schema.ts';
import { floatSpelling } from './yaml11-scalar.ts';

type Plain = null | boolean | number | string | readonly Plain[] | { readonly [key: string]: Plain };

/** The config as YAML text, keys in the schema's order: the copy that is stored with a run. */
export function configToYaml(config: Config): string {
  return block(config as unknown as Record<string, Plain>, '');
}

function block(map: Readonly<Record<string, Plain>>, indent: string): string {
  return Object.entries(map)
    .map(([key, value]) =>
      value !== null && typeof value === 'object' && !Array.isArray(value)
        ? `${indent}${key}:\n${block(value as Record<string, Plain>, `${indent}  `)}`
        : `${indent}${key}: ${inline(value)}\n`,
    )
    .join('');
}

function inline(value: Plain): string {
  if (Array.isArray(value)) return `[${value.map(inline).join(', ')}]`;
  if (typeof value === 'number')
    return Number.isInteger(value) && Math.abs(value) < 1e15 ? String(value) : floatSpelling(value);
  // JSON's quoted strings are YAML's double-quoted ones.
  return JSON.stringify(value);
}
