/** Builds a {@link Program} op by op: the vocabulary in which model files such as `v3.ts` are written. */
import type { Initialiser } from '../random/initialisers.ts';
import {
  type ActivationName,
  type BufferSpec,
  elementCount,
  type InitialDraw,
  type Op,
  type ParameterSlice,
  type ParameterSpec,
  type Program,
  type Rows,
  type Segments,
  type TensorId,
  type TensorSpec,
  verifyProgram,
} from './program.ts';

const NORM_EPS = 1e-5;
const BATCH_NORM_MOMENTUM = 0.1;

export class ProgramBuilder {
  private readonly tensors: TensorSpec[] = [];
  private readonly parameters: ParameterSpec[] = [];
  private readonly buffers: BufferSpec[] = [];
  private readonly stateNames: string[] = [];
  private readonly initialDraws: InitialDraw[] = [];
  private readonly ops: Op[] = [];
  private sites = 0;
  private readonly name: string;
  private readonly inputDim: number;

  constructor(name: string, inputDim: number) {
    this.name = name;
    this.inputDim = inputDim;
  }

  /** Declares a parameter; its values come from {@link draw}. */
  parameter(name: string, shape: readonly number[]): void {
    this.parameters.push({ name, shape });
    this.stateNames.push(name);
  }

  /** Appends to the initialisation, which runs in call order. */
  draw(parameter: string, init: Initialiser): void {
    this.initialDraws.push({ parameter, init });
  }

  /** Declares `prefix.weight` (out, in) and `prefix.bias` (out) without drawing them. */
  linearParameters(prefix: string, inputs: number, outputs: number): void {
    this.parameter(`${prefix}.weight`, [outputs, inputs]);
    this.parameter(`${prefix}.bias`, [outputs]);
  }

  /** The draws of `torch.nn.Linear.reset_parameters`: Kaiming-uniform weight with a = sqrt(5), then the bias. */
  drawLinear(prefix: string, inputs: number): void {
    this.draw(`${prefix}.weight`, { kind: 'kaimingUniform', a: Math.sqrt(5) });
    this.draw(`${prefix}.bias`, { kind: 'uniform', bound: 1 / Math.sqrt(inputs) });
  }

  /** Declares and draws the weight (ones) and bias (zeros) of a normalisation. */
  normParameters(prefix: string, width: number): void {
    this.parameter(`${prefix}.weight`, [width]);
    this.parameter(`${prefix}.bias`, [width]);
    this.draw(`${prefix}.weight`, { kind: 'constant', value: 1 });
    this.draw(`${prefix}.bias`, { kind: 'constant', value: 0 });
  }

  /** Declares the running statistics of `torch.nn.BatchNorm1d`. */
  batchNormBuffers(prefix: string, width: number): void {
    const add = (name: string, shape: number[], dtype: 'float32' | 'int64', value: number) => {
      this.buffers.push({ name: `${prefix}.${name}`, shape, dtype, value });
      this.stateNames.push(`${prefix}.${name}`);
    };
    add('running_mean', [width], 'float32', 0);
    add('running_var', [width], 'float32', 1);
    add('num_batches_tracked', [], 'int64', 0);
  }

  private tensor(name: string, rows: Rows, cols: number): TensorId {
    return this.tensors.push({ name, rows, cols }) - 1;
  }

  private slice(name: string, row = 0, rows?: number): ParameterSlice {
    const parameter = this.parameters.find((p) => p.name === name);
    if (parameter === undefined) throw new Error(`${this.name} uses the parameter ${name} before declaring it`);
    const { shape } = parameter;
    const cols = shape.length > 1 ? shape[shape.length - 1] : 1;
    return { name, row, rows: rows ?? elementCount(shape) / cols, cols };
  }

  /** Like `x`, under another name. */
  private like(x: TensorId, name: string): TensorId {
    return this.tensor(name, this.tensors[x].rows, this.tensors[x].cols);
  }

  gather(): TensorId {
    const output = this.tensor('embeddings', 'tokens', this.inputDim);
    this.ops.push({ kind: 'gather', inputs: [], outputs: [output], parameters: [], attributes: {} });
    return output;
  }

  /** @param part rows of the weight and bias to use, for packed projections */
  linear(
    x: TensorId,
    weight: string,
    bias: string,
    name: string,
    part?: { readonly row: number; readonly rows: number },
  ): TensorId {
    const parameters = [this.slice(weight, part?.row, part?.rows), this.slice(bias, part?.row, part?.rows)];
    const output = this.tensor(name, this.tensors[x].rows, parameters[0].rows);
    this.ops.push({ kind: 'linear', inputs: [x], outputs: [output], parameters, attributes: {} });
    return output;
  }

  layerNorm(x: TensorId, prefix: string): TensorId {
    const output = this.like(x, prefix);
    const stats = this.tensor(`${prefix}.stats`, this.tensors[x].rows, 2);
    this.ops.push({
      kind: 'layerNorm',
      inputs: [x],
      outputs: [output, stats],
      parameters: [this.slice(`${prefix}.weight`), this.slice(`${prefix}.bias`)],
      attributes: { eps: NORM_EPS },
    });
    return output;
  }

  batchNorm(x: TensorId, prefix: string): TensorId {
    const output = this.like(x, prefix);
    const stats = this.tensor(`${prefix}.stats`, 2, this.tensors[x].cols);
    this.ops.push({
      kind: 'batchNorm',
      inputs: [x],
      outputs: [output, stats],
      parameters: [this.slice(`${prefix}.weight`), this.slice(`${prefix}.bias`)],
      attributes: {
        eps: NORM_EPS,
        momentum: BATCH_NORM_MOMENTUM,
        runningMean: `${prefix}.running_mean`,
        runningVar: `${prefix}.running_var`,
        batches: `${prefix}.num_batches_tracked`,
      },
    });
    return output;
  }

  activation(x: TensorId, kind: ActivationName, name: string): TensorId {
    const output = this.like(x, name);
    this.ops.push({
      kind: 'activation',
      inputs: [x],
      outputs: [output],
      parameters: [],
      attributes: { function: kind },
    });
    return output;
  }

  /** Dropout draws from a site of its own; a rate of 0 adds no op but keeps the numbering of later sites. */
  dropout(x: TensorId, p: number, name: string): TensorId {
    const site = this.sites++;
    if (p === 0) return x;
    const output = this.like(x, name);
    this.ops.push({ kind: 'dropout', inputs: [x], outputs: [output], parameters: [], attributes: { p, site } });
    return output;
  }

  add(a: TensorId, b: TensorId, name: string): TensorId {
    const output = this.like(a, name);
    this.ops.push({ kind: 'add', inputs: [a, b], outputs: [output], parameters: [], attributes: {} });
    return output;
  }

  /** x + s (y - x), one s a sequence (Huang et al. 2016); a rate of 0 adds no op. */
  stochasticDepth(x: TensorId, y: TensorId, p: number, name: string): TensorId {
    const site = this.sites++;
    if (p === 0) return y;
    const output = this.like(x, name);
    this.ops.push({
      kind: 'stochasticDepth',
      inputs: [x, y],
      outputs: [output],
      parameters: [],
      attributes: { p, site },
    });
    return output;
  }

  attention(
    query: TensorId,
    keyValue: TensorId,
    attributes: {
      heads: number;
      width: number;
      segments: Segments;
      queryOffset: number;
      keyOffset: number;
      valueOffset: number;
      p: number;
    },
    name: string,
  ): TensorId {
    const { rows } = this.tensors[query];
    const output = this.tensor(name, rows, attributes.width);
    const logSumExp = this.tensor(`${name}.logSumExp`, rows, attributes.heads);
    this.ops.push({
      kind: 'attention',
      inputs: [query, keyValue],
      outputs: [output, logSumExp],
      parameters: [],
      attributes: { ...attributes, site: this.sites++ },
    });
    return output;
  }

  sliceRows(x: TensorId, side: 'A' | 'B', name: string): TensorId {
    const output = this.tensor(name, side === 'A' ? 'tokensA' : 'tokensB', this.tensors[x].cols);
    this.ops.push({ kind: 'sliceRows', inputs: [x], outputs: [output], parameters: [], attributes: { side } });
    return output;
  }

  concatRows(a: TensorId, b: TensorId, name: string): TensorId {
    const output = this.tensor(name, 'tokens', this.tensors[a].cols);
    this.ops.push({ kind: 'concatRows', inputs: [a, b], outputs: [output], parameters: [], attributes: {} });
    return output;
  }

  expand(parameter: string, name: string): TensorId {
    const slice = this.slice(parameter);
    const output = this.tensor(name, 'pairs', slice.rows * slice.cols);
    this.ops.push({ kind: 'expand', inputs: [], outputs: [output], parameters: [slice], attributes: {} });
    return output;
  }

  /** Ends the program with the loss of each pair. */
  finish(logits: TensorId, loss: { posWeight: number; labelSmoothing: number }): Program {
    const lossPerPair = this.tensor('lossPerPair', 'pairs', 1);
    this.ops.push({
      kind: 'bceLoss',
      inputs: [logits],
      outputs: [lossPerPair],
      parameters: [],
      attributes: { posWeight: loss.posWeight, labelSmoothing: loss.labelSmoothing },
    });
    const { name, inputDim, tensors, parameters, buffers, stateNames, initialDraws, ops } = this;
    const program = {
      name,
      inputDim,
      tensors,
      parameters,
      buffers,
      stateNames,
      initialDraws,
      ops,
      logits,
      lossPerPair,
    };
    verifyProgram(program);
    return program;
  }
}
