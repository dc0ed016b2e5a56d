/** Samplers by name. To add one: one file here, one line below. */
import type { Sampler, SamplerFactory, SamplerOptions } from '../sampler.ts';
import { distributed } from './distributed.ts';
import { sequential } from './sequential.ts';
import { shuffle } from './shuffle.ts';

export const SAMPLERS = { distributed, sequential, shuffle } as const satisfies Record<string, SamplerFactory>;

export type SamplerName = keyof typeof SAMPLERS;

export function createSampler(name: SamplerName, options: SamplerOptions): Sampler {
  return SAMPLERS[name](options);
}
