/**
 * What an engine is. Three implement it: C++ on the CPU, CUDA, and the pure-TypeScript one that is their specification.
 * One call a step: gather, forward, loss, hard-example selection, backward, optimiser.
 */
import type { RelicError } from '../errors.ts';
import type { Program } from '../model/program.ts';
import type { NativeComm } from './native/binding.ts';

/** A file of rows that an engine may map instead of asking for them. */
export interface RowFile {
  readonly path: string;
  /** Byte offset of row 0; a multiple of 64. */
  readonly dataStart: number;
  readonly dtype: 'float32' | 'float16' | 'bfloat16';
  /** (count + 1): protein i has the rows from `rowOffsets[i]` on, of which the first `lengths[i]` are used. */
  readonly rowOffsets: Float64Array;
}

/** Rows of every protein, by index. Engines read it; the data layer owns it. */
export interface EmbeddingStore {
  /** Width of a row. */
  readonly dim: number;
  readonly count: number;
  /** Residues of each protein as they are used, after truncation. */
  readonly lengths: Int32Array;
  /** Writes `lengths[index] * dim` values, row-major, at `out[at]`. */
  read(index: number, out: Float32Array, at: number): void;
  /** Where the same rows lie on the disk, if they do. */
  readonly file?: RowFile;
}

/** B pairs as indices into the store; labels are 0 or 1. */
export interface Batch {
  readonly proteinA: Int32Array;
  readonly proteinB: Int32Array;
  readonly labels: Float32Array;
}

/** Two 32-bit words that seed every dropout mask of a rank (`random/philox.ts`). */
export type DropoutKey = readonly [number, number];

/** What one rank contributes to a step. */
export interface Shard {
  readonly batch: Batch;
  readonly dropoutKey: DropoutKey;
}

/** Keep the `max(minKeep, ceil(n keepRatio))` pairs of largest loss, per shard (contract 1.7). */
export interface HardExamples {
  readonly keepRatio: number;
  readonly minKeep: number;
}

/** `momentum` is beta1 of AdamW and the momentum of SGD: the value a OneCycle schedule moves. */
export interface StepSettings {
  /** Counter of the dropout masks: a step number never used twice with one key. */
  readonly step: number;
  readonly lr: number;
  readonly momentum: number;
  readonly hardExamples: HardExamples | null;
  /** This rank was asked to stop: every rank sees it in the losses of the step. Means nothing on one process. */
  readonly stop?: boolean;
}

/** Loss of one shard: the sum over the pairs that were kept, and how many those are. */
export interface ShardLoss {
  readonly lossSum: number;
  readonly kept: number;
  /** `StepSettings.stop` of the rank that had the shard; absent on one process. */
  readonly stop?: boolean;
}

/** Seconds since the model was made. */
export interface CollectiveSeconds {
  /** In which steps waited for other ranks and the network, with nothing left to compute: what ranks cost. */
  readonly waited: number;
  /** In collectives altogether, most of it while the step computes. */
  readonly total: number;
}

/** One of the steps of {@link EngineModel.trainSteps}. */
export interface Step {
  readonly shards: readonly Shard[];
  readonly settings: StepSettings;
}

export interface StepsTaken {
  /** By step that was taken, its shards. */
  readonly losses: readonly (readonly ShardLoss[])[];
  /** RELIC_NOT_FINITE of the step after them, when a loss was NaN or infinite; it and all later ones changed nothing. */
  readonly stopped: RelicError | null;
}

export interface Scores {
  /** (pairs) */
  readonly logits: Float32Array;
  /** (pairs): unreduced, with the loss settings of the program */
  readonly lossPerPair: Float32Array;
}

/** AdamW (Loshchilov & Hutter 2019) or SGD with momentum, with PyTorch's update order. */
export interface OptimizerSettings {
  readonly type: 'adamw' | 'sgd';
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
}

/** A saved tensor of a model: a parameter or a buffer. `num_batches_tracked` is a whole number in a float. */
export type State = Map<string, Float32Array>;

/** What an optimiser keeps of one trained parameter; arrays have the parameter's length. */
export interface ParameterMoments {
  /** Steps that made the moments. */
  readonly steps: number;
  /** The first moment of AdamW, or the momentum of SGD. */
  readonly first: Float32Array;
  /** The second moment of AdamW; empty for SGD. */
  readonly second: Float32Array;
}

/** By trained parameter, in state-dict order. */
export type OptimizerState = ReadonlyMap<string, ParameterMoments>;

/** How a model trains with those of other ranks. */
export interface RankOptions {
  /** What carries gradients and parameters (`native/comm.ts`). */
  readonly comm: NativeComm;
  /** Bytes of the first and of every other bucket in which gradients travel: 1 MiB and 25 MiB unless given. */
  readonly bucketBytes?: readonly [number, number];
}

/** A program bound to parameters, a store and an optimiser on one engine. Calls must not overlap. */
export interface EngineModel {
  readonly program: Program;

  /** Replaces parameters and buffers; names and lengths must be those of the program. Optimiser state stays. */
  load(state: State): void;

  /** A copy of every parameter and buffer, in state-dict order. */
  state(): State;

  /**
   * Chooses what is trained and how. Parameters that were trained before keep their moments and step counts only with
   * `keepState`.
   */
  setOptimizer(settings: OptimizerSettings, trainable: (name: string) => boolean, keepState: boolean): void;

  /** A copy of the moments of everything that is trained. @throws RelicError RELIC_USAGE before setOptimizer */
  optimizerState(): OptimizerState;

  /**
   * Replaces the moments by those of {@link optimizerState}, so that the next step is the one that would have followed.
   * @throws RelicError RELIC_CHECKPOINT_MISMATCH unless names and lengths are those of what is trained; nothing is then
   *   changed. RELIC_USAGE before setOptimizer
   */
  loadOptimizerState(state: OptimizerState): void;

  /**
   * One optimiser step on the mean of the shards' gradients, as if each shard were a rank. Each shard's gradient is that
   * of the mean loss over its kept pairs. Batch-norm buffers follow the first shard.
   *
   * A model of a rank ({@link EngineModel.synchronize} is there) takes this rank's one shard, and resolves to the losses of
   * all ranks, in rank order. All ranks make the same calls with the same settings, but for `stop`; a difference, and a
   * difference in what they train, fails the step on every rank. Batch-norm buffers follow rank 0's shards, on rank 0 alone.
   * @throws RelicError RELIC_NOT_FINITE when a loss is NaN or infinite, on every rank when it is on one; parameters are then
   *   unchanged. RELIC_RANKS when another rank is gone or does something else; the ranks are then of no further use
   */
  trainStep(shards: readonly Shard[], settings: StepSettings): Promise<ShardLoss[]>;

  /**
   * Gives every rank rank 0's buffers, or its parameters, buffers and optimizer state. All ranks call it together. Absent on a
   * model that trains alone.
   * @throws RelicError RELIC_RANKS when the ranks' models, or what they train, differ
   */
  synchronize?(what: 'buffers' | 'everything'): Promise<void>;

  /** Absent likewise. */
  collectiveSeconds?(): CollectiveSeconds;

  /**
   * What as many calls of {@link trainStep} do, without waiting in between where the engine can queue steps: the better
   * the longer the list, until a loss has to be known. Absent where that gains nothing.
   * @throws RelicError as trainStep does, but for RELIC_NOT_FINITE
   */
  trainSteps?(steps: readonly Step[]): Promise<StepsTaken>;

  /** A copy of the gradients the last step applied, by trained parameter: for checks, not for training. */
  gradients(): State;

  /** Scores pairs without dropout. */
  evaluate(batch: Batch): Promise<Scores>;

  /** What runs the model, in words; on a GPU with the sum of its memory. Absent where there is nothing to tell. */
  describe?(): string;

  /** Bytes of live buffers. */
  memory(): number;

  /** Frees everything; later calls throw RELIC_ENGINE_DISPOSED. Idempotent. */
  dispose(): void;
}

export interface EngineInfo {
  readonly name: 'typescript' | 'native' | 'cuda';
  readonly device: string;
  readonly threads: number;
  /** The instruction set of its kernels, where there is a choice. Sums depend on it. */
  readonly isa?: string;
  /** What the factors of large matrix products are rounded to, on a GPU in training alone; sums are float32 always. */
  readonly precision: 'fp32' | 'bf16' | 'fp16';
  /** Why this engine was chosen, and what was tried before it. */
  readonly reason: string;
}

/** The GPU that an engine runs on, for whatever connects it with others (`native/comm.ts`). */
export interface Gpu {
  /** Path of librelic_cuda.so. */
  readonly library: string;
  readonly device: number;
  /** Where NCCL may be, in order. */
  readonly ncclPaths: readonly string[];
}

export interface Engine {
  readonly info: EngineInfo;
  /** Absent on a CPU. */
  readonly gpu?: Gpu;
  /**
   * Parameters start as zeros: load a state before the first step.
   * @param ranks makes it one of the models of a run on several ranks, where the engine can do that.
   */
  createModel(program: Program, store: EmbeddingStore, ranks?: RankOptions): EngineModel;
}
