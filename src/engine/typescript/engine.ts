/** The pure-TypeScript engine: runs wherever Node does, and says what every other engine must compute. */
import type { Program } from '../../model/program.ts';
import type { EmbeddingStore, Engine, EngineModel } from '../engine.ts';
import { TypescriptModel } from './model.ts';
import type { Precision } from './runtime.ts';

/**
 * @param precision `float64` only for gradient checks
 * @param encoderCacheBytes of encoder outputs that scoring keeps; see encoder-cache.ts
 */
export function createTypescriptEngine(
  reason = 'asked for',
  precision: Precision = 'float32',
  encoderCacheBytes: number = Number.POSITIVE_INFINITY,
): Engine {
  return {
    info: { name: 'typescript', device: 'cpu', threads: 1, precision: 'fp32', reason },
    createModel(program: Program, store: EmbeddingStore): EngineModel {
      return new TypescriptModel(program, store, precision, encoderCacheBytes);
    },
  };
}
