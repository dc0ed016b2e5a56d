/** A program bound to its parameters on the TypeScript engine: whole steps, one after another, on the calling thread. */
import { RelicError } from '../../errors.ts';
import { differentiate, type Gradients } from '../../model/autodiff.ts';
import { forInference } from '../../model/inference.ts';
import type { Program } from '../../model/program.ts';
import type {
  Batch,
  EmbeddingStore,
  EngineModel,
  HardExamples,
  OptimizerSettings,
  OptimizerState,
  Scores,
  Shard,
  ShardLoss,
  State,
  StepSettings,
} from '../engine.ts';
import { layoutOf } from '../layout.ts';
import { checkOptimizerState } from '../optimizer-state.ts';
import { EncodedProteins } from './encoded-proteins.ts';
import { hardestPairs } from './hard-examples.ts';
import type { Reals } from './matmul.ts';
import { implementationOf } from './ops/registry.ts';
import { Optimizer } from './optimizer.ts';
import { type Precision, Runtime } from './runtime.ts';

export class TypescriptModel implements EngineModel {
  readonly program: Program;
  private readonly inference: Program;
  private readonly runtime: Runtime;
  private readonly encoded: EncodedProteins;
  private optimizer: Optimizer | undefined;
  private gradientOps: Gradients = { ops: [], trained: [] };
  private summed = new Map<string, Reals>();
  private disposed = false;

  constructor(program: Program, store: EmbeddingStore, precision: Precision, encoderCacheBytes: number) {
    this.program = program;
    this.inference = forInference(program);
    this.runtime = new Runtime(program, store, precision);
    this.encoded = new EncodedProteins(this.inference, this.runtime, encoderCacheBytes);
  }

  load(state: State): void {
    this.assertAlive();
    const targets = new Map([...this.runtime.parameters, ...this.runtime.buffers]);
    for (const [name, target] of targets) {
      const values = state.get(name);
      if (values === undefined || values.length !== target.length) {
        throw new RelicError('RELIC_CHECKPOINT_MISMATCH', `state of ${name}`, {
          expected: `${target.length} values`,
          received: values === undefined ? 'nothing' : `${values.length}`,
        });
      }
    }
    for (const [name, target] of targets) target.set(state.get(name)!);
    this.encoded.clear();
  }

  state(): State {
    this.assertAlive();
    const { parameters, buffers } = this.runtime;
    return new Map(
      this.program.stateNames.map((name) => [name, Float32Array.from(parameters.get(name) ?? buffers.get(name)!)]),
    );
  }

  setOptimizer(settings: OptimizerSettings, trainable: (name: string) => boolean, keepState: boolean): void {
    this.assertAlive();
    this.gradientOps = differentiate(this.program, trainable);
    const optimizer = new Optimizer(settings, (length) => this.runtime.allocate(length));
    if (keepState && this.optimizer !== undefined) optimizer.adopt(this.optimizer, this.gradientOps.trained);
    this.optimizer = optimizer;
  }

  optimizerState(): OptimizerState {
    const optimizer = this.currentOptimizer();
    return new Map(Array.from(this.trainedLengths(), ([name, length]) => [name, optimizer.momentsOf(name, length)]));
  }

  loadOptimizerState(state: OptimizerState): void {
    const optimizer = this.currentOptimizer();
    checkOptimizerState(state, optimizer.settings.type, this.trainedLengths());
    for (const [name, moments] of state) optimizer.restore(name, moments);
  }

  private currentOptimizer(): Optimizer {
    this.assertAlive();
    if (this.optimizer !== undefined) return this.optimizer;
    throw new RelicError('RELIC_USAGE', 'there is no optimizer: call setOptimizer first');
  }

  /** Elements of every trained parameter, in state-dict order. */
  private trainedLengths(): Map<string, number> {
    const trained = new Set(this.gradientOps.trained);
    const names = this.program.stateNames.filter((name) => trained.has(name));
    return new Map(names.map((name) => [name, this.runtime.parameters.get(name)!.length]));
  }

  async trainStep(shards: readonly Shard[], settings: StepSettings): Promise<ShardLoss[]> {
    this.assertAlive();
    const { optimizer, runtime } = this;
    if (optimizer === undefined) throw new RelicError('RELIC_USAGE', 'trainStep was called before setOptimizer');
    if (shards.length === 1) this.summed.clear();
    const losses = shards.map((shard, rank) => {
      const loss = this.forwardBackward(shard, settings, rank === 0);
      if (shards.length > 1) this.addToSum(rank === 0);
      return loss;
    });
    for (const name of this.gradientOps.trained) {
      const gradient = this.appliedGradient(name);
      if (shards.length > 1) for (let i = 0; i < gradient.length; i++) gradient[i] /= shards.length;
      optimizer.update(name, runtime.parameters.get(name)!, gradient, settings.lr, settings.momentum);
    }
    this.encoded.clear();
    return losses;
  }

  /** Leaves the gradient of the mean loss over the shard's kept pairs in the runtime. */
  private forwardBackward(shard: Shard, settings: StepSettings, updateBuffers: boolean): ShardLoss {
    const { runtime, program } = this;
    this.bind(shard.batch);
    runtime.training = true;
    runtime.updateBuffers = updateBuffers;
    runtime.dropoutStep = settings.step;
    runtime.dropoutKey = shard.dropoutKey;
    for (const op of program.ops) implementationOf(op).forward(op, runtime);

    const losses = runtime.value(program.lossPerPair).subarray(0, runtime.layout.pairs);
    const { kept, lossSum } = this.seedGradient(losses, settings.hardExamples);
    if (!Number.isFinite(lossSum)) {
      throw new RelicError('RELIC_NOT_FINITE', 'the training loss', {
        expected: 'a finite number',
        received: String(lossSum),
        fix: 'lower the learning rate, and check the embeddings for very large values',
      });
    }
    for (const backward of this.gradientOps.ops) {
      const op = program.ops[backward.op];
      implementationOf(op).backward(op, backward, runtime);
    }
    return { lossSum, kept };
  }

  /** Sets the gradient of each pair's loss: 1 / kept for kept pairs, 0 for the others. */
  private seedGradient(losses: Reals, hardExamples: HardExamples | null): ShardLoss {
    const seed = this.runtime.gradient(this.program.lossPerPair);
    const chosen = hardExamples === null ? losses.keys() : hardestPairs(losses, hardExamples);
    const indices = [...chosen];
    seed.fill(0);
    let lossSum = 0;
    for (const i of indices) {
      seed[i] = 1 / indices.length;
      lossSum += losses[i];
    }
    return { lossSum, kept: indices.length };
  }

  private appliedGradient(name: string): Reals {
    return this.summed.get(name) ?? this.runtime.parameterGradient(name);
  }

  private addToSum(first: boolean): void {
    for (const name of this.gradientOps.trained) {
      const gradient = this.runtime.parameterGradient(name);
      let sum = this.summed.get(name);
      if (sum === undefined) this.summed.set(name, (sum = this.runtime.allocate(gradient.length)));
      if (first) sum.set(gradient);
      else for (let i = 0; i < sum.length; i++) sum[i] += gradient[i];
    }
  }

  async evaluate(batch: Batch): Promise<Scores> {
    this.assertAlive();
    const { runtime, inference } = this;
    runtime.training = false;
    const first = this.encoded.prepare(batch);
    this.bind(batch);
    this.encoded.place(batch);
    for (const op of inference.ops.slice(first)) implementationOf(op).forward(op, runtime);
    const { pairs } = runtime.layout;
    return {
      logits: Float32Array.from(runtime.value(inference.logits).subarray(0, pairs)),
      lossPerPair: Float32Array.from(runtime.value(inference.lossPerPair).subarray(0, pairs)),
    };
  }

  gradients(): State {
    this.assertAlive();
    return new Map(this.gradientOps.trained.map((name) => [name, Float32Array.from(this.appliedGradient(name))]));
  }

  private bind(batch: Batch): void {
    this.runtime.batch = batch;
    this.runtime.layout = layoutOf(batch, this.runtime.store.lengths);
  }

  memory(): number {
    let summed = 0;
    for (const { byteLength } of this.summed.values()) summed += byteLength;
    return this.runtime.memory() + this.encoded.memory() + (this.optimizer?.memory() ?? 0) + summed;
  }

  dispose(): void {
    this.disposed = true;
    this.runtime.dispose();
    this.encoded.clear();
    this.optimizer = undefined;
    this.summed = new Map();
  }

  private assertAlive(): void {
    if (this.disposed) {
      throw new RelicError('RELIC_ENGINE_DISPOSED', 'this model was disposed', { fix: 'create a new one' });
    }
  }
}
