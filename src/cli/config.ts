/** The config options that several commands take, and loading what they name. */
import { type LoadedConfig, loadConfig } from '../config/load.ts';
import type { Problem } from '../errors.ts';
import type { Output } from './command.ts';
import type { Options } from './options.ts';

export const CONFIG_OPTIONS = {
  config: { type: 'text', value: 'FILE', required: true, description: 'YAML config of the run' },
  set: { type: 'list', value: 'KEY=VALUE', description: 'override a key, as in training_config.epochs=5; repeatable' },
} as const satisfies Options;

/** Loads a config and tells its warnings, once. */
export function loadWithWarnings(path: string, set: readonly string[], output: Output): LoadedConfig {
  const loaded = loadConfig(path, { set });
  for (const warning of loaded.warnings) warn(warning, output);
  return loaded;
}

/** One line on stderr. */
export function warn({ where, message }: Problem, output: Output): void {
  output.stderr(`relic-train: warning: ${where}: ${message}\n`);
}
