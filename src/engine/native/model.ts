/** A program bound to its parameters in native code, on the CPU or on a GPU. What a call means is said by the TypeScript engine. */
import { RelicError } from '../../errors.ts';
import { differentiate } from '../../model/autodiff.ts';
import { fuse } from '../../model/fuse.ts';
import { forInference } from '../../model/inference.ts';
import type { Program } from '../../model/program.ts';
import type {
  Batch,
  CollectiveSeconds,
  EmbeddingStore,
  EngineModel,
  OptimizerSettings,
  OptimizerState,
  RankOptions,
  Scores,
  Shard,
  ShardLoss,
  State,
  Step,
  StepSettings,
  StepsTaken,
} from '../engine.ts';
import { layoutOf } from '../layout.ts';
import { checkOptimizerState } from '../optimizer-state.ts';
import {
  NATIVE_DTYPES,
  type NativeBinding,
  type NativeCuda,
  type NativeModelHandle,
  type NativeStep,
  type NativeStore,
} from './binding.ts';
import { encodeGradients, encodeProgram } from './encode.ts';
import { relicError, settled, translated } from './translated.ts';

/** Without `comm` the model trains alone. */
export interface NativeOptions extends Partial<RankOptions> {
  readonly binding: NativeBinding;
  readonly threads: number;
  /** One of `binding.isas()` or, with `bf16`, `binding.bf16Isas()`; `''` for the best. */
  readonly isa: string;
  /** Whether the factors of linear layers over residues are rounded to bfloat16. */
  readonly bf16: boolean;
  /** Of encoder outputs that scoring keeps, on the CPU; the GPU engine judges by its own memory. */
  readonly encoderCacheBytes: number;
  /** Absent for a model on the CPU. */
  readonly cuda?: NativeCuda;
}

export class NativeModel implements EngineModel {
  readonly program: Program;
  /** What runs: the program with its fusions. */
  private readonly fused: Program;
  private readonly lengths: Int32Array;
  private readonly handle: NativeModelHandle;
  /** (states): elements of each, in state-dict order. */
  private readonly stateLengths: readonly number[];
  /** Null until an optimizer is set. */
  private trained: readonly string[] | null = null;
  private optimizerType: OptimizerSettings['type'] = 'adamw';
  private disposed = false;
  readonly synchronize?: (what: 'buffers' | 'everything') => Promise<void>;
  readonly collectiveSeconds?: () => CollectiveSeconds;

  constructor(program: Program, store: EmbeddingStore, { binding, ...options }: NativeOptions) {
    this.program = program;
    this.lengths = store.lengths;
    this.fused = fuse(program);
    const encoded = encodeProgram(this.fused, fuse({ ...forInference(program), tensors: this.fused.tensors }));
    this.handle = translated(() => binding.createModel({ program: encoded, store: nativeStore(store), ...options }));
    this.stateLengths = program.stateNames.map((_, index) => this.handle.stateLength(index));
    if (options.comm !== undefined) {
      this.synchronize = (what) => this.takeOver(what);
      this.collectiveSeconds = () => this.secondsInCollectives();
    }
  }

  private async takeOver(what: 'buffers' | 'everything'): Promise<void> {
    this.assertAlive();
    await settled(this.handle.synchronize(what === 'everything'));
  }

  private secondsInCollectives(): CollectiveSeconds {
    const [waited, total] = this.handle.collectiveSeconds();
    return { waited, total };
  }

  load(state: State): void {
    this.assertAlive();
    const values = this.program.stateNames.map((name, index) => {
      const found = state.get(name);
      if (found?.length === this.stateLengths[index]) return found;
      throw new RelicError('RELIC_CHECKPOINT_MISMATCH', `state of ${name}`, {
        expected: `${this.stateLengths[index]} values`,
        received: found === undefined ? 'nothing' : `${found.length}`,
      });
    });
    translated(() => {
      for (const [index, each] of values.entries()) this.handle.writeState(index, each);
    });
  }

  state(): State {
    this.assertAlive();
    return translated(() => this.copied(this.program.stateNames, (index, out) => this.handle.readState(index, out)));
  }

  setOptimizer(settings: OptimizerSettings, trainable: (name: string) => boolean, keepState: boolean): void {
    this.assertAlive();
    const gradients = differentiate(this.fused, trainable);
    const { type, beta2, eps, weightDecay } = settings;
    const numbers = { type: type === 'adamw' ? 0 : 1, beta2, eps, weightDecay } as const;
    const backward = encodeGradients(this.fused, gradients);
    translated(() => this.handle.setOptimizer(numbers, backward, keepState));
    this.trained = gradients.trained;
    this.optimizerType = type;
  }

  optimizerState(): OptimizerState {
    return new Map(
      Array.from(this.trainedLengths(), ([name, length]) => {
        const [first, second] = [new Float32Array(length), new Float32Array(length)];
        const steps = translated(() => this.handle.readMoments(this.indexOf(name), first, second));
        return [name, { steps, first, second: this.optimizerType === 'adamw' ? second : new Float32Array(0) }];
      }),
    );
  }

  loadOptimizerState(state: OptimizerState): void {
    const lengths = this.trainedLengths();
    checkOptimizerState(state, this.optimizerType, lengths);
    for (const [name, { steps, first, second }] of state) {
      // The native call wants both arrays whole, and does not look at the second one of SGD.
      const whole = this.optimizerType === 'adamw' ? second : first;
      translated(() => this.handle.writeMoments(this.indexOf(name), first, whole, steps));
    }
  }

  /** Elements of every trained parameter, in state-dict order. */
  private trainedLengths(): Map<string, number> {
    this.assertAlive();
    const { trained } = this;
    if (trained === null) throw new RelicError('RELIC_USAGE', 'there is no optimizer: call setOptimizer first');
    const names = this.program.stateNames.filter((name) => trained.includes(name));
    return new Map(names.map((name) => [name, this.stateLengths[this.indexOf(name)]]));
  }

  private indexOf(name: string): number {
    return this.program.stateNames.indexOf(name);
  }

  async trainStep(shards: readonly Shard[], settings: StepSettings): Promise<ShardLoss[]> {
    const { shards: native, settings: numbers } = this.nativeStep({ shards, settings });
    const values = await settled(this.handle.trainStep(native, numbers));
    return this.lossesOf(values, 0, values.length / 3);
  }

  async trainSteps(steps: readonly Step[]): Promise<StepsTaken> {
    const { losses: values, stopped } = await settled(
      this.handle.trainSteps(steps.map((step) => this.nativeStep(step))),
    );
    const losses: ShardLoss[][] = [];
    const taken = values.length / 3;
    for (let at = 0; at < taken; at += losses[losses.length - 1].length) {
      // With ranks every call is one step, of a loss a rank.
      const shards = this.synchronize === undefined ? steps[losses.length].shards.length : taken / steps.length;
      losses.push(this.lossesOf(values, at, shards));
    }
    return { losses, stopped: stopped && (relicError(stopped) as RelicError) };
  }

  /** `count` losses from number `at` on. */
  private lossesOf(values: Float64Array, at: number, count: number): ShardLoss[] {
    return Array.from({ length: count }, (_, i) => {
      const [lossSum, kept, stopped] = values.subarray(3 * (at + i), 3 * (at + i) + 3);
      return this.synchronize === undefined ? { lossSum, kept } : { lossSum, kept, stop: stopped === 1 };
    });
  }

  private nativeStep({ shards, settings }: Step): NativeStep {
    this.assertAlive();
    if (this.trained === null) throw new RelicError('RELIC_USAGE', 'trainStep was called before setOptimizer');
    for (const { batch } of shards) layoutOf(batch, this.lengths);
    const { step, lr, momentum, hardExamples, stop } = settings;
    return {
      shards: shards.map(({ batch: { proteinA, proteinB, labels }, dropoutKey }) => {
        return { proteinA, proteinB, labels, key: Uint32Array.from(dropoutKey) };
      }),
      settings: {
        step,
        lr,
        momentum,
        stop: stop ?? false,
        hardExamples: hardExamples !== null,
        keepRatio: hardExamples?.keepRatio ?? 1,
        minKeep: hardExamples?.minKeep ?? 1,
      },
    };
  }

  async evaluate(batch: Batch): Promise<Scores> {
    this.assertAlive();
    const { pairs } = layoutOf(batch, this.lengths);
    const values = await settled(this.handle.evaluate(batch));
    return { logits: values.subarray(0, pairs), lossPerPair: values.subarray(pairs) };
  }

  gradients(): State {
    this.assertAlive();
    return translated(() => this.copied(this.trained ?? [], (index, out) => this.handle.readGradient(index, out)));
  }

  /** Copies of the states of these names, read by their place in the program. */
  private copied(names: readonly string[], read: (index: number, out: Float32Array) => void): State {
    return new Map(
      names.map((name) => {
        const index = this.indexOf(name);
        const out = new Float32Array(this.stateLengths[index]);
        read(index, out);
        return [name, out];
      }),
    );
  }

  describe(): string {
    this.assertAlive();
    return this.handle.isa();
  }

  memory(): number {
    return this.handle.memory();
  }

  /** A call that runs now is cancelled, on the CPU within one op, and rejects with RELIC_ENGINE_DISPOSED. */
  dispose(): void {
    this.disposed = true;
    this.handle.dispose();
  }

  private assertAlive(): void {
    if (this.disposed) {
      throw new RelicError('RELIC_ENGINE_DISPOSED', 'this model was disposed', { fix: 'create a new one' });
    }
  }
}

/** A packed store is mapped from its file; the rows of any other are copied. */
function nativeStore(store: EmbeddingStore): NativeStore {
  const { dim, lengths, file } = store;
  if (file !== undefined) {
    const { path, dataStart, dtype, rowOffsets } = file;
    return { dim, lengths, path, dataStart, dtype: NATIVE_DTYPES.indexOf(dtype), rowOffsets };
  }
  const rows = new Float32Array(lengths.reduce((total, length) => total + length, 0) * dim);
  let at = 0;
  for (const [index, length] of lengths.entries()) {
    store.read(index, rows, at);
    at += length * dim;
  }
  return { dim, lengths, rows };
}
