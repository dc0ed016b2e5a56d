/** `data_config.benchmark.simulate`: the files of the demo interactome that are not there yet. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DataConfig } from '../config/schema.ts';
import { simulationFiles } from '../data/simulate.ts';
import { SIMULATE_DEFAULTS } from '../data/simulate-options.ts';

export interface SimulatedFiles {
  /** Text by path. */
  readonly missing: ReadonlyMap<string, string>;
  /** Paths of files that are there with other content; they are used as they are. */
  readonly different: readonly string[];
}

/** @throws RELIC_USAGE for options that cannot be met. */
export function simulatedFiles({ benchmark }: DataConfig): SimulatedFiles {
  const { simulate } = benchmark;
  const missing = new Map<string, string>();
  const different: string[] = [];
  if (simulate === null) return { missing, different };
  const { min_length: minLength, max_length: maxLength, out_dir: directory, ...options } = simulate;
  for (const { name, text } of simulationFiles({ ...SIMULATE_DEFAULTS, ...options, minLength, maxLength })) {
    const path = join(directory, name);
    if (!existsSync(path)) missing.set(path, text);
    else if (readFileSync(path, 'utf8') !== text) different.push(path);
  }
  return { missing, different };
}
