/** What an op of the TypeScript engine works on: the buffers of one model for the batch at hand. */
import type { GradientTarget } from '../../model/autodiff.ts';
import type { ParameterSlice, Program, TensorId } from '../../model/program.ts';
import { elementCount } from '../../model/program.ts';
import type { Batch, DropoutKey, EmbeddingStore } from '../engine.ts';
import { type Layout, rowCount } from '../layout.ts';
import { type Operand, operand, type Reals } from './matmul.ts';

/** `float64` exists for gradient checks; training runs in `float32` storage. */
export type Precision = 'float32' | 'float64';

/** Growth of a buffer that a larger batch outgrew, so that ragged batches settle after a few steps. */
const GROWTH = 1.25;

export class Runtime {
  readonly program: Program;
  readonly store: EmbeddingStore;
  readonly parameters = new Map<string, Reals>();
  readonly buffers = new Map<string, Reals>();
  readonly parameterGradients = new Map<string, Reals>();

  /** Set for each call by the model. */
  batch!: Batch;
  layout!: Layout;
  training = false;
  /** Whether a training forward moves running statistics. */
  updateBuffers = true;
  dropoutStep = 0;
  dropoutKey: DropoutKey = [0, 0];

  private readonly precision: Precision;
  private values: Reals[] = [];
  private gradients: Reals[] = [];
  private scratches = new Map<string, Reals>();

  constructor(program: Program, store: EmbeddingStore, precision: Precision) {
    this.program = program;
    this.store = store;
    this.precision = precision;
    for (const { name, shape } of program.parameters) this.parameters.set(name, this.allocate(elementCount(shape)));
    for (const { name, shape, value } of program.buffers) {
      this.buffers.set(name, this.allocate(elementCount(shape)).fill(value));
    }
  }

  allocate(length: number): Reals {
    return this.precision === 'float32' ? new Float32Array(length) : new Float64Array(length);
  }

  rows(id: TensorId): number {
    return rowCount(this.program.tensors[id].rows, this.layout);
  }

  cols(id: TensorId): number {
    return this.program.tensors[id].cols;
  }

  size(id: TensorId): number {
    return this.rows(id) * this.cols(id);
  }

  /** The values of a tensor, row-major; the array may be longer than the batch needs. */
  value(id: TensorId): Reals {
    return (this.values[id] = this.fitting(this.values[id], this.size(id)));
  }

  /** The gradient of a tensor that an earlier backward op completed. */
  gradient(id: TensorId): Reals {
    return (this.gradients[id] = this.fitting(this.gradients[id], this.size(id)));
  }

  /** Where an op adds its gradient: cleared first unless another op has contributed before. */
  gradientTo({ target, accumulate }: GradientTarget<TensorId>): Reals {
    const gradient = this.gradient(target);
    return accumulate ? gradient : gradient.fill(0, 0, this.size(target));
  }

  matrix(id: TensorId): Operand {
    return operand(this.value(id), this.cols(id));
  }

  gradientMatrix(id: TensorId): Operand {
    return operand(this.gradient(id), this.cols(id));
  }

  parameter(slice: ParameterSlice): Operand {
    return operand(this.parameters.get(slice.name)!, slice.cols, slice.row * slice.cols);
  }

  /** As {@link gradientTo}, for a part of a parameter. */
  parameterGradientTo({ target, accumulate }: GradientTarget<ParameterSlice>): Operand {
    const gradient = this.parameterGradient(target.name);
    const from = target.row * target.cols;
    if (!accumulate) gradient.fill(0, from, from + target.rows * target.cols);
    return operand(gradient, target.cols, from);
  }

  parameterGradient(name: string): Reals {
    let gradient = this.parameterGradients.get(name);
    if (gradient === undefined) {
      gradient = this.allocate(this.parameters.get(name)!.length);
      this.parameterGradients.set(name, gradient);
    }
    return gradient;
  }

  /** A buffer that lives until the next request under the same name. */
  scratch(name: string, length: number): Reals {
    const buffer = this.fitting(this.scratches.get(name), length);
    this.scratches.set(name, buffer);
    return buffer;
  }

  private fitting(current: Reals | undefined, length: number): Reals {
    if (current !== undefined && current.length >= length) return current;
    return this.allocate(current === undefined ? length : Math.ceil(length * GROWTH));
  }

  /** Bytes of every buffer. */
  memory(): number {
    const all = [this.values, this.gradients, this.scratches.values(), this.parameters.values(), this.buffers.values()];
    let bytes = 0;
    for (const group of [...all, this.parameterGradients.values()]) {
      for (const buffer of group) bytes += buffer?.byteLength ?? 0;
    }
    return bytes;
  }

  dispose(): void {
    this.values = [];
    this.gradients = [];
    this.scratches = new Map();
    this.parameters.clear();
    this.buffers.clear();
    this.parameterGradients.clear();
  }
}
