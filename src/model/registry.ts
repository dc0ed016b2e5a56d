/** The models a config can name: one file and one line each. */
import { nearest, RelicError } from '../errors.ts';
import type { Program } from './program.ts';
import { buildV3, type V3Config } from './v3.ts';

export interface LossConfig {
  readonly posWeight: number;
  readonly labelSmoothing: number;
}

export type ModelBuilder = (config: V3Config, loss: LossConfig) => Program;

export const MODELS: Readonly<Record<string, ModelBuilder>> = { v3: buildV3 };

/**
 * The program of a named model.
 * @throws RelicError RELIC_MODEL_UNKNOWN
 */
export function buildModel(name: string, config: V3Config, loss: LossConfig): Program {
  const build = Object.hasOwn(MODELS, name) ? MODELS[name] : undefined;
  if (build !== undefined) return build(config, loss);
  const hint = nearest(name, Object.keys(MODELS));
  throw new RelicError('RELIC_MODEL_UNKNOWN', `Unknown model: ${name}`, {
    expected: Object.keys(MODELS).join(', '),
    received: name,
    where: 'model_config.model',
    ...(hint === undefined ? {} : { fix: `did you mean ${hint}?` }),
  });
}
