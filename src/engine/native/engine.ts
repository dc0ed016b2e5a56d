/** The C++ engine on the CPU: whole steps on threads of its own, so that the calling thread stays free. */
import { RelicError } from '../../errors.ts';
import type { Program } from '../../model/program.ts';
import type { EmbeddingStore, Engine, EngineModel, RankOptions } from '../engine.ts';
import type { LoadedBinary } from './loader.ts';
import { NativeModel } from './model.ts';

/**
 * @param options.isa null for the best this CPU runs in that precision.
 * @param options.encoderCacheBytes of encoder outputs that scoring keeps; see encoder-cache.ts.
 * @param options.precision `bf16` where the kernels have it; `info.precision` says what runs.
 * @throws RelicError RELIC_ENGINE_UNAVAILABLE when the kernels asked for cannot run here
 */
export function createNativeEngine(
  binary: LoadedBinary,
  options: {
    readonly threads: number;
    readonly isa: string | null;
    readonly precision: 'fp32' | 'bf16';
    readonly encoderCacheBytes: number;
    readonly reason: string;
  },
): Engine {
  // Not those that the probe found: the system may refuse AMX to this process.
  const rounding = options.precision === 'bf16' ? binary.binding.bf16Isas() : [];
  const isa = options.isa ?? rounding[0] ?? binary.isas[0];
  const usable = [...new Set([...rounding, ...binary.isas])];
  if (!usable.includes(isa)) {
    throw new RelicError(
      'RELIC_ENGINE_UNAVAILABLE',
      `RELIC_ISA names kernels that cannot run here in ${options.precision}`,
      {
        expected: usable.join(' or '),
        received: isa,
        fix: 'unset RELIC_ISA to take the best',
      },
    );
  }
  const bf16 = rounding.includes(isa);
  const info = {
    name: 'native',
    device: 'cpu',
    threads: options.threads,
    isa,
    precision: bf16 ? 'bf16' : 'fp32',
    reason: `${options.reason}; ${isa} kernels of ${binary.path}`,
  } as const;
  return {
    info,
    createModel(program: Program, store: EmbeddingStore, ranks?: RankOptions): EngineModel {
      const { threads, encoderCacheBytes } = options;
      const { binding } = binary;
      return new NativeModel(program, store, { binding, threads, isa, bf16, encoderCacheBytes, ...ranks });
    },
  };
}
