/**
 * A program and its backward list as flat numbers, in the layout that `native/include/relic/program.h` documents and
 * decodes. Names stay here: the native engine knows tensors, states and ops by index alone.
 */
import { RelicError } from '../../errors.ts';
import type { BackwardOp, Gradients, GradientTarget } from '../../model/autodiff.ts';
import { forInference, sequencePrefix } from '../../model/inference.ts';
import {
  type ActivationName,
  type Dropouts,
  elementCount,
  OP_KINDS,
  type Op,
  type ParameterSlice,
  type Program,
  type Rows,
  type Segments,
  type Space,
} from '../../model/program.ts';
import { dropoutScale, dropoutThreshold } from '../../random/philox.ts';

/** "relic" program and gradients: the first word of each encoding. */
export const PROGRAM_MAGIC = 0x52454c50;
export const GRADIENTS_MAGIC = 0x52454c47;
/** Raised with every change of the layout; the addon refuses any other. */
export const ENCODING_VERSION = 2;

const SPACES: Readonly<Record<Space, number>> = { tokens: -1, tokensA: -2, tokensB: -3, pairs: -4 };
const SEGMENTS: readonly Segments[] = ['self', 'aToB', 'bToA', 'pairToBoth'];
const ACTIVATIONS: readonly ActivationName[] = ['gelu', 'relu', 'silu', 'tanh'];
/** Stands for "no prefix" and "no gradient wanted". */
const NONE = -1;

/**
 * The whole program: tensors, state, the training list, the list for scoring and its per-sequence prefix.
 *
 * @param inference what scores; its tensors begin with those of `program`
 */
export function encodeProgram(program: Program, inference: Program = forInference(program)): Float64Array {
  const prefix = sequencePrefix(inference);
  const states = stateIndices(program);
  const words = [PROGRAM_MAGIC, ENCODING_VERSION, program.inputDim];
  words.push(inference.tensors.length);
  for (const { rows, cols } of inference.tensors) words.push(rowsWord(rows), cols);
  words.push(...stateWords(program));
  for (const ops of [program.ops, inference.ops]) {
    words.push(ops.length);
    for (const op of ops) words.push(...opWords(op, states));
  }
  words.push(prefix?.ops ?? 0, prefix?.output ?? NONE);
  words.push(program.logits, inference.logits, program.lossPerPair);
  return Float64Array.from(words);
}

/**
 * The backward list of `differentiate(program, ...)`. Targets are always the op's own inputs and parameter slices, so
 * one word each says whether a gradient is wanted and whether it adds to what is there.
 */
export function encodeGradients(program: Program, gradients: Gradients): Float64Array {
  const states = stateIndices(program);
  const words = [GRADIENTS_MAGIC, ENCODING_VERSION, gradients.ops.length];
  for (const backward of gradients.ops) words.push(...backwardWords(backward));
  words.push(gradients.trained.length, ...gradients.trained.map((name) => states(name)));
  return Float64Array.from(words);
}

function backwardWords({ op, inputs, parameters }: BackwardOp): number[] {
  return [op, inputs.length, ...inputs.map(targetWord), parameters.length, ...parameters.map(targetWord)];
}

function targetWord(target: GradientTarget<unknown> | null): number {
  return target === null ? NONE : Number(target.accumulate);
}

function rowsWord(rows: Rows): number {
  return typeof rows === 'number' ? rows : SPACES[rows];
}

/** Looks up the place of a state in `program.stateNames`. */
function stateIndices(program: Program): (name: string) => number {
  const indices = new Map(program.stateNames.map((name, index) => [name, index]));
  return (name) => {
    const index = indices.get(name);
    if (index === undefined) throw new RelicError('RELIC_PROGRAM_INVALID', `state ${name} is not in the program`);
    return index;
  };
}

/** Count, then by state: 0 for a parameter or 1 for a buffer, elements, initial value. */
function stateWords(program: Program): number[] {
  const parameters = new Map(program.parameters.map((parameter) => [parameter.name, parameter]));
  const buffers = new Map(program.buffers.map((buffer) => [buffer.name, buffer]));
  const words = [program.stateNames.length];
  for (const name of program.stateNames) {
    const parameter = parameters.get(name);
    const buffer = buffers.get(name);
    if (parameter !== undefined) words.push(0, elementCount(parameter.shape), 0);
    else if (buffer !== undefined) words.push(1, elementCount(buffer.shape), buffer.value);
    else throw new RelicError('RELIC_PROGRAM_INVALID', `state ${name} is neither a parameter nor a buffer`);
  }
  return words;
}

function opWords(op: Op, states: (name: string) => number): number[] {
  const slice = ({ name, row, rows, cols }: ParameterSlice) => [states(name), row, rows, cols];
  const attributes = attributeWords(op, states);
  return [
    OP_KINDS.indexOf(op.kind),
    op.inputs.length,
    ...op.inputs,
    op.outputs.length,
    ...op.outputs,
    op.parameters.length,
    ...op.parameters.flatMap(slice),
    attributes.length,
    ...attributes,
  ];
}

/** Two dropouts; the ones that are not there keep everything. */
function chainWords(dropouts: Dropouts): number[] {
  return [0, 1].flatMap((i) => dropoutWords(dropouts[i]?.p ?? 0, dropouts[i]?.site ?? 0));
}

/** Threshold, scale and site of a dropout. */
function dropoutWords(p: number, site: number): number[] {
  return [dropoutThreshold(p), dropoutScale(p), site];
}

function attributeWords(op: Op, states: (name: string) => number): number[] {
  switch (op.kind) {
    case 'layerNorm':
      return [op.attributes.eps];
    case 'batchNorm': {
      const { eps, momentum, runningMean, runningVar, batches } = op.attributes;
      return [eps, momentum, states(runningMean), states(runningVar), states(batches)];
    }
    case 'activation':
      return [ACTIVATIONS.indexOf(op.attributes.function)];
    case 'dropout':
    case 'stochasticDepth':
      return dropoutWords(op.attributes.p, op.attributes.site);
    case 'attention': {
      const { heads, width, segments, queryOffset, keyOffset, valueOffset, p, site } = op.attributes;
      const columns = [queryOffset, keyOffset, valueOffset];
      return [heads, width, SEGMENTS.indexOf(segments), ...columns, ...dropoutWords(p, site)];
    }
    case 'activationDropout': {
      const { function: name, p, site } = op.attributes;
      return [ACTIVATIONS.indexOf(name), ...dropoutWords(p, site)];
    }
    case 'dropoutAdd':
      return chainWords(op.attributes.dropouts);
    case 'stochasticDepthAdd':
      return [...dropoutWords(op.attributes.p, op.attributes.site), ...chainWords(op.attributes.dropouts)];
    case 'absorbedAttention': {
      const { heads, width, p, site } = op.attributes;
      return [heads, width, ...dropoutWords(p, site)];
    }
    case 'sliceRows':
      return [op.attributes.side === 'A' ? 0 : 1];
    case 'bceLoss':
      return [op.attributes.posWeight, op.attributes.labelSmoothing];
    case 'gather':
    case 'linear':
    case 'add':
    case 'concatRows':
    case 'expand':
      return [];
  }
}
