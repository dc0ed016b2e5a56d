/** The GPU engine: the programs and calls of the native engine, run by librelic_cuda.so on one device. */
import { RelicError } from '../../errors.ts';
import type { Program } from '../../model/program.ts';
import type { EmbeddingStore, Engine, EngineInfo, EngineModel, RankOptions } from '../engine.ts';
import type { NativeBinding, NativeCudaDevice } from '../native/binding.ts';
import { NativeModel } from '../native/model.ts';

/** How matrix operands and the activations between them are held in training. */
type Precision = EngineInfo['precision'];

/** Their numbers in native/cuda/relic_cuda.h. */
const PRECISIONS: readonly Precision[] = ['fp32', 'bf16', 'fp16'];

export interface CudaOptions {
  readonly binding: NativeBinding;
  /** Path of librelic_cuda.so. */
  readonly library: string;
  /** What `probeCuda` found there. */
  readonly devices: readonly NativeCudaDevice[];
  /** Index into `devices`. */
  readonly device: number;
  readonly precision: Precision;
  /** Whether scoring is as precise as training, not float32. */
  readonly ampEvaluation?: boolean;
  /** Bytes of the device to plan with; all that are free when absent. */
  readonly memoryLimit?: number;
  /** Where cuBLASLt may be, in order. */
  readonly cublasPaths: readonly string[];
  /** Where NCCL may be, likewise. */
  readonly ncclPaths: readonly string[];
  readonly reason: string;
}

/** @throws RelicError RELIC_ENGINE_UNAVAILABLE when there is no such device, or the library has no code for it */
export function createCudaEngine(options: CudaOptions): Engine {
  const {
    binding,
    library,
    devices,
    device,
    precision,
    ampEvaluation = false,
    cublasPaths,
    ncclPaths,
    reason,
  } = options;
  const facts = devices[device];
  if (!facts?.usable) {
    throw new RelicError('RELIC_ENGINE_UNAVAILABLE', `GPU ${device} cannot be used`, {
      expected: `a GPU that ${library} holds code for`,
      received: facts === undefined ? `${devices.length} GPU(s)` : `${facts.name} of capability ${facts.capability}`,
      fix: 'build for it: npm run build with RELIC_CUDA_ARCHS set to its capability, such as 90a',
    });
  }
  const number = PRECISIONS.indexOf(precision);
  const scoringPrecision = ampEvaluation ? number : 0;
  const cuda = {
    library,
    device,
    precision: number,
    scoringPrecision,
    memoryLimit: options.memoryLimit ?? 0,
    cublasPaths,
  };
  return {
    info: {
      name: 'cuda',
      device: `cuda:${device} ${facts.name}`,
      threads: 1,
      isa: `sm_${facts.capability.replace('.', '')}`,
      precision,
      reason: `${reason}; ${library}`,
    },
    gpu: { library, device, ncclPaths },
    createModel(program: Program, store: EmbeddingStore, ranks?: RankOptions): EngineModel {
      const cpu = { threads: 1, isa: '', bf16: false, encoderCacheBytes: 0 };
      return new NativeModel(program, store, { binding, ...cpu, cuda, ...ranks });
    },
  };
}
