import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type LoadedConfig, parseConfig } from '../../src/config/load.ts';
import type { Problem } from '../../src/errors.ts';
import { RelicError } from '../../src/errors.ts';

export const FIXTURES = join(dirname(fileURLToPath(import.meta.url)), '..', 'fixtures', 'config');
export const CONFIGS = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'configs');

export function fixture(name: string): string {
  return readFileSync(join(FIXTURES, name), 'utf8');
}

/** The minimal config with `set` over it. */
export function minimal(...set: string[]): LoadedConfig {
  return parseConfig(fixture('minimal.yaml'), 'minimal.yaml', { set });
}

/** The problems that the minimal config has with `set` over it. */
export function problemsOf(...set: string[]): readonly Problem[] {
  try {
    minimal(...set);
  } catch (error) {
    if (error instanceof RelicError && error.code === 'RELIC_CONFIG_INVALID') return error.problems;
    throw error;
  }
  return [];
}

export function messages(problems: readonly Problem[]): string[] {
  return problems.map(({ message }) => message);
}
