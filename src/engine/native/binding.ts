/** The one typed mirror of the addon in native/addon; a test compares it with what a binary exports. */
import type { Gpu } from '../engine.ts';

export interface NativeBinding {
  /** The package version the binary was built from. */
  version(): string;
  /** Kernel sets that the binary has and this CPU runs in float32, best first. */
  isas(): string[];
  /** Those that can round the factors of linear layers to bfloat16, best first. Asks the system for the use of AMX. */
  bf16Isas(): string[];
  /** GPUs that the library at this path finds. Throws an Error with a `code` and the reason when there is none. */
  cudaDevices(library: string): NativeCudaDevice[];
  /** Connects this process with the other ranks, which all call it. MPI can be opened once in a process. */
  openComm(options: NativeCommOptions | NativeNcclOptions): Promise<NativeComm>;
  /** (128): what rank 0 makes and hands to all ranks that open NCCL, while it lives. */
  ncclId(library: string, ncclPaths: readonly string[]): Uint8Array;
  /** @param options.isa `''` for the best one. Throws an Error with a `code`, as every call below does. */
  createModel(options: {
    readonly program: Float64Array;
    readonly store: NativeStore;
    readonly threads: number;
    readonly isa: string;
    readonly bf16: boolean;
    /** Of encoder outputs that scoring keeps, on the CPU. */
    readonly encoderCacheBytes: number;
    /** Absent for a model that trains alone. */
    readonly comm?: NativeComm;
    /** Bytes of the first and of every other bucket of gradients. */
    readonly bucketBytes?: readonly [number, number];
    /** Absent for a model on the CPU. */
    readonly cuda?: NativeCuda;
  }): NativeModelHandle;
  /**
   * Starts the store in which the ranks of a run meet, in a thread of this process, which then joins as rank 0.
   * @param options.address a name or address of this machine; exactly that is bound.
   * @param options.port 0 for any that is free.
   * @returns the port. Throws RELIC_RANKS; the error has `busy: true` when the port is in use.
   */
  hostStore(options: { readonly address: string; readonly port: number }): number;
  /**
   * Meets the other ranks and starts this process's watchdog, a thread that ends the process with 71 when another rank
   * dies or hangs, and with 72 when this one is the one that hung. Resolves when all ranks have come. Rejects with
   * RELIC_RANKS: the reason of a refusal at once, the missing ranks at the deadline.
   */
  joinRanks(options: NativeJoinOptions): Promise<NativeRanks>;
}

export const BINDING_EXPORTS: readonly (keyof NativeBinding)[] = [
  'version',
  'isas',
  'bf16Isas',
  'cudaDevices',
  'openComm',
  'ncclId',
  'createModel',
  'hostStore',
  'joinRanks',
];

export interface NativeCommOptions {
  readonly backend: 'mpi' | 'gloo';
  readonly rank: number;
  readonly size: number;
  /** Whose launcher started the ranks: which MPI library to open where there are several. */
  readonly launcher: 'openmpi' | 'mpich' | 'unknown';
  /** A library of MPI, or `''` for what the system's loader finds. */
  readonly mpiLibrary: string;
  /** Path of librelic_gloo.so. */
  readonly glooLibrary: string;
  /** Of this rank, as the others reach it; for Gloo. */
  readonly address: string;
  /** How long Gloo waits in one call. MPI has no limit: a watchdog has. */
  readonly timeoutMs: number;
  /** Gloo needs one. */
  readonly store?: NativeCommStore;
}

/** Between GPUs. */
export interface NativeNcclOptions extends Gpu {
  readonly backend: 'nccl';
  readonly rank: number;
  readonly size: number;
  readonly id: Uint8Array;
  /** How long a collective may take. */
  readonly timeoutMs: number;
}

/** Where ranks leave small values for each other, while they connect. */
export interface NativeCommStore {
  set(key: string, bytes: Uint8Array): Promise<unknown>;
  /** Waits until the key is set; rejects after `timeoutMs`. */
  get(key: string, timeoutMs: number): Promise<Uint8Array>;
}

/** Native code makes the calls one after another, in the order in which they are asked for. */
export interface NativeComm {
  /** Library and version: sums depend on them. */
  description(): string;
  /** Rank 0 gives bytes, the others null; all get rank 0's. */
  broadcast(bytes: Uint8Array | null): Promise<Uint8Array>;
  /** Collective. A process of MPI that ends without it counts as crashed. Later calls fail with RELIC_RANKS. */
  close(): Promise<void>;
}

export const COMM_METHODS: readonly (keyof NativeComm)[] = ['description', 'broadcast', 'close'];

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
  readonly stop: boolean;
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
  /** Resolves to loss sum, kept pairs and stop (0 or 1) of each shard in turn, or with `comm` of each rank. */
  trainStep(shards: readonly NativeShard[], settings: NativeStepSettings): Promise<Float64Array>;
  /**
   * Several steps with one wait at the end: what `trainStep` gives for those that were taken, in turn, and the error of
   * the one after them when its loss was no number.
   */
  trainSteps(steps: readonly NativeStep[]): Promise<{ losses: Float64Array; stopped: Error | null }>;
  /** Resolves to (2, pairs): logits, then losses. */
  evaluate(batch: NativeBatch): Promise<Float32Array>;
  synchronize(everything: boolean): Promise<void>;
  /** (2): seconds for which steps waited in collectives, and in collectives altogether. */
  collectiveSeconds(): Float64Array;
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
  'synchronize',
  'collectiveSeconds',
  'memory',
  'dispose',
];

export interface NativeJoinOptions {
  /** Where rank 0's store is; rank 0 names it too. */
  readonly host: string;
  readonly port: number;
  readonly rank: number;
  readonly size: number;
  readonly runId: string;
  /** What must be the same on all ranks, such as the config's hash, engine and kernels, in words for an error message. */
  readonly identity: string;
  /** Of the package. */
  readonly version: string;
  /** This machine's name, for messages. */
  readonly hostName: string;
  /** How long to wait for the other ranks. */
  readonly timeoutMs: number;
  /** A rank not heard of for this long is taken for stopped. Rank 0's value counts for the others as well. */
  readonly heartbeatTimeoutMs: number;
  /** A rank that keeps others waiting in a collective for this long is taken for stuck. Rank 0's value counts. */
  readonly collectiveTimeoutMs: number;
  /** Whether the end of the parent process, a launcher, ends this one. */
  readonly watchParent: boolean;
}

/**
 * This process as one rank of a run. `allGather`, `broadcast` and `barrier` are collectives: every rank makes the same
 * calls with the same names in the same order, otherwise all are refused with both names. Calls are done one after the
 * other; a promise is rejected with RELIC_RANKS.
 */
export interface NativeRanks {
  rank(): number;
  size(): number;
  /** Resolves to the bytes of each rank, in the order of ranks. */
  allGather(name: string, bytes: Uint8Array): Promise<Uint8Array[]>;
  /** @param bytes on rank 0 what all ranks receive, on others null. */
  broadcast(name: string, bytes: Uint8Array | null): Promise<Uint8Array>;
  /** Rejects after `timeoutMs` (0: never) with the ranks that have not come. */
  barrier(name: string, timeoutMs: number): Promise<void>;
  /** Not a collective: gives `key` a value, which any rank may read. */
  set(key: string, bytes: Uint8Array): Promise<void>;
  /** Waits for `key` to have a value. */
  get(key: string, timeoutMs: number): Promise<Uint8Array>;
  /** Adds to a counter, at first 0, and resolves to its new value. */
  add(key: string, increment: number): Promise<number>;
  /** For the other ranks' messages, should this one die: the step and what it does, one of a few short words. */
  progress(step: number, what: string): void;
  /** From now on the watchdog writes `rank.<r>.fail.json` into this folder, which exists, before it ends this process. */
  setFailDirectory(path: string): void;
  /**
   * Tells the other ranks that this one ends by an error of its own; they then end with 71 and this reason. Returns when
   * they know, after 3 seconds at the most. The process must exit next. With RELIC_RANKS, a dead rank that may have
   * caused the error is looked for first, and this process ends with 71 when there is one.
   */
  fail(code: string, message: string): void;
  /** Ends this rank's part and its watchdog. On rank 0 it resolves when all ranks have left, or after 30 seconds. */
  leave(): Promise<void>;
}

export const RANKS_METHODS: readonly (keyof NativeRanks)[] = [
  'rank',
  'size',
  'allGather',
  'broadcast',
  'barrier',
  'set',
  'get',
  'add',
  'progress',
  'setFailDirectory',
  'fail',
  'leave',
];
