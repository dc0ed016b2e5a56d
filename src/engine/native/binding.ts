/** The one typed mirror of the addon in native/addon; a test compares it with what a binary exports. */

export interface NativeBinding {
  /** The package version the binary was built from. */
  version(): string;
  /** Kernel sets that the binary has and this CPU runs, best first. */
  isas(): string[];
  /** Those of them that can round the factors of linear layers to bfloat16. */
  bf16Isas(): string[];
  /** GPUs that the library at this path finds. Throws an Error with a `code` and the reason when there is none. */
  cudaDevices(library: string): NativeCudaDevice[];
  /** @param options.isa `''` for the best one. Throws an Error with a `code`, as every call below does. */
  createModel(options: {
    readonly program: Float64Array;
    readonly store: NativeStore;
    readonly threads: number;
    readonly isa: string;
    readonly bf16: boolean;
    /** Absent for a model on the CPU. */
    readonly cuda?: NativeCuda;
  }): NativeModelHandle;
}

export const BINDING_EXPORTS: readonly (keyof NativeBinding)[] = [
  'version',
  'isas',
  'bf16Isas',
  'cudaDevices',
  'createModel',
];

export interface NativeCudaDevice {
  readonly name: string;
  /** Compute capability, such as 9.0. */
  readonly capability: string;
  readonly memoryBytes: number;
  /** Whether the library holds code for it. */
  readonly usable: boolean;
}

/** Which GPU a model is created on, and how. */
export interface NativeCuda {
  readonly library: string;
  readonly device: number;
  /** As in native/cuda/relic_cuda.h: 0 float32, 1 bf16, 2 fp16. */
  readonly precision: number;
  /** 0, or `precision`. */
  readonly scoringPrecision: number;
  /** Bytes of the device that the model may plan with; 0 for all that are free. */
  readonly memoryLimit: number;
  readonly cublasPaths: readonly string[];
}

/** A file that the engine maps, or rows that it copies. `lengths` are residues in use. */
export type NativeStore = { readonly dim: number; readonly lengths: Int32Array } & (
  | {
      readonly path: string;
      readonly dataStart: number;
      /** Index into {@link NATIVE_DTYPES}. */
      readonly dtype: number;
      readonly rowOffsets: Float64Array;
    }
  | { readonly rows: Float32Array }
);

export const NATIVE_DTYPES: readonly string[] = ['float32', 'float16', 'bfloat16'];

export interface NativeBatch {
  readonly proteinA: Int32Array;
  readonly proteinB: Int32Array;
  readonly labels: Float32Array;
}

export interface NativeShard extends NativeBatch {
  /** (2) */
  readonly key: Uint32Array;
}

export interface NativeStepSettings {
  readonly step: number;
  readonly lr: number;
  readonly momentum: number;
  readonly hardExamples: boolean;
  readonly keepRatio: number;
  readonly minKeep: number;
}

export interface NativeStep {
  readonly shards: readonly NativeShard[];
  readonly settings: NativeStepSettings;
}

/** State tensors are numbered as in `Program.stateNames`. */
export interface NativeModelHandle {
  /** The kernel set in use, or what else runs the model. */
  isa(): string;
  stateCount(): number;
  stateLength(index: number): number;
  writeState(index: number, values: Float32Array): void;
  readState(index: number, values: Float32Array): void;
  /** False when the tensor is not trained. */
  readGradient(index: number, values: Float32Array): boolean;
  /**
   * Fills both arrays with the moments of a parameter and returns how many steps made them; -1 when it is not trained.
   * SGD has no second moment and leaves that array as it is.
   */
  readMoments(index: number, first: Float32Array, second: Float32Array): number;
  /** The reverse; false when the parameter is not trained. */
  writeMoments(index: number, first: Float32Array, second: Float32Array, steps: number): boolean;
  /** @param settings.type 0 for AdamW, 1 for SGD. */
  setOptimizer(
    settings: { readonly type: 0 | 1; readonly beta2: number; readonly eps: number; readonly weightDecay: number },
    backward: Float64Array,
    keepState: boolean,
  ): void;
  /** Resolves to loss sum and kept pairs of each shard, in turn. */
  trainStep(shards: readonly NativeShard[], settings: NativeStepSettings): Promise<Float64Array>;
  /**
   * Several steps with one wait at the end: what `trainStep` gives for those that were taken, in turn, and the error of
   * the one after them when its loss was no number.
   */
  trainSteps(steps: readonly NativeStep[]): Promise<{ losses: Float64Array; stopped: Error | null }>;
  /** Resolves to (2, pairs): logits, then losses. */
  evaluate(batch: NativeBatch): Promise<Float32Array>;
  memory(): number;
  dispose(): void;
}

export const HANDLE_METHODS: readonly (keyof NativeModelHandle)[] = [
  'isa',
  'stateCount',
  'stateLength',
  'writeState',
  'readState',
  'readGradient',
  'readMoments',
  'writeMoments',
  'setOptimizer',
  'trainStep',
  'trainSteps',
  'evaluate',
  'memory',
  'dispose',
];
