/**
 * The model program: a flat list of ops over named two-dimensional tensors, as plain data.
 *
 * Rows are ragged and never padded. A batch of B pairs is one token buffer `[A_0 .. A_{B-1} | B_0 .. B_{B-1}]`; sizes
 * are symbolic ({@link Rows}), so one program serves every batch. A program holds no numbers and needs no engine: it
 * can be printed, counted (`cost.ts`), differentiated (`autodiff.ts`) and rewritten (`inference.ts`).
 */
import { RelicError } from '../errors.ts';
import type { Initialiser } from '../random/initialisers.ts';

/** Residues of both sides, of the A side, of the B side, or pairs: the row counts that a batch decides. */
export type Space = 'tokens' | 'tokensA' | 'tokensB' | 'pairs';

/** A row count: one of the symbolic spaces, or a constant. */
export type Rows = Space | number;

/** Index into {@link Program.tensors}. */
export type TensorId = number;

export interface TensorSpec {
  readonly name: string;
  readonly rows: Rows;
  readonly cols: number;
}

/** A trained tensor, named and shaped as in the PyTorch state dict. */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
}

/** State that is saved but not trained: the running statistics of a batch norm. */
export interface BufferSpec extends ParameterSpec {
  readonly dtype: 'float32' | 'int64';
  readonly value: number;
}

/**
 * Rows `row .. row + rows` of a parameter seen as a matrix of its last dimension (a vector is one column), so that the
 * query, key and value parts of a packed `in_proj_weight` are three slices of one parameter.
 */
export interface ParameterSlice {
  readonly name: string;
  readonly row: number;
  readonly rows: number;
  readonly cols: number;
}

/** One draw of the initialisation, in the original's order: a parameter drawn twice keeps its last draw. */
export interface InitialDraw {
  readonly parameter: string;
  readonly init: Initialiser;
}

/**
 * Which rows a query row may see.
 * - `self`: its own sequence; query and key rows are `tokens`.
 * - `aToB`, `bToA`: the partner sequence of its pair.
 * - `pairToBoth`: one query a pair (rows `pairs`), which sees A_i and B_i in `tokens`.
 */
export type Segments = 'self' | 'aToB' | 'bToA' | 'pairToBoth';

export type ActivationName = 'gelu' | 'relu' | 'silu' | 'tanh';

interface OpShape<Kind extends string, Attributes> {
  readonly kind: Kind;
  readonly inputs: readonly TensorId[];
  readonly outputs: readonly TensorId[];
  readonly parameters: readonly ParameterSlice[];
  readonly attributes: Readonly<Attributes>;
}

/** [] -> [x (tokens, E)]: the batch's residue embeddings, constants to the autodiff. */
export type GatherOp = OpShape<'gather', Record<never, never>>;
/** [x (R, in)], [weight (out, in), bias (out)?] -> [y (R, out)] = x weight^T + bias. */
export type LinearOp = OpShape<'linear', Record<never, never>>;
/** [x (R, C)], [weight, bias] -> [y (R, C), stats (R, 2): mean and reciprocal deviation]. Biased variance. */
export type LayerNormOp = OpShape<'layerNorm', { eps: number }>;
/** [x (R, C)], [weight, bias] -> [y (R, C), stats (2, C)]; updates the running buffers when training. */
export type BatchNormOp = OpShape<
  'batchNorm',
  { eps: number; momentum: number; runningMean: string; runningVar: string; batches: string }
>;
/** [x] -> [y], element by element; `gelu` is the exact (erf) form. */
export type ActivationOp = OpShape<'activation', { function: ActivationName }>;
/** [x] -> [y]: the mask of `random/philox.ts` at (site, row, column); absent from inference programs. */
export type DropoutOp = OpShape<'dropout', { p: number; site: number }>;
/** [a, b] -> [a + b]. */
export type AddOp = OpShape<'add', Record<never, never>>;
/** [x, y] -> [x + s (y - x)], rows `tokens`: s is 0 with probability p and 1/(1-p) otherwise, one draw a sequence. */
export type StochasticDepthOp = OpShape<'stochasticDepth', { p: number; site: number }>;
/**
 * [query tensor, key-and-value tensor] -> [y (query rows, D), logSumExp (query rows, heads)]: softmax(q k^T / sqrt(D/heads)) v
 * by head, dropout on the probabilities at (site, row * heads + head, key index within the segment).
 * The offsets are first columns of q in input 0 and of k and v in input 1; both inputs may be one packed tensor.
 */
export type AttentionOp = OpShape<
  'attention',
  {
    heads: number;
    width: number;
    segments: Segments;
    queryOffset: number;
    keyOffset: number;
    valueOffset: number;
    p: number;
    site: number;
  }
>;
/** [x (tokens, C)] -> [the A rows or the B rows of x]. */
export type SliceRowsOp = OpShape<'sliceRows', { side: 'A' | 'B' }>;
/** [a (tokensA, C), b (tokensB, C)] -> [(tokens, C)]. */
export type ConcatRowsOp = OpShape<'concatRows', Record<never, never>>;
/** [], [parameter of C elements] -> [(pairs, C)]: the same row for every pair. */
export type ExpandOp = OpShape<'expand', Record<never, never>>;
/** [logits (pairs, 1)] -> [loss of each pair (pairs, 1)]; labels come with the batch (contract 1.7). */
export type BceLossOp = OpShape<'bceLoss', { posWeight: number; labelSmoothing: number }>;

/** Dropouts in a row: their masks multiply. */
export type Dropouts = readonly { readonly p: number; readonly site: number }[];

// Fusions: what `fuse.ts` puts in the place of several ops. Masks and values are those of the ops they replace.

/** [x] -> [dropout(activation(x))]. */
export type ActivationDropoutOp = OpShape<'activationDropout', { function: ActivationName; p: number; site: number }>;
/** [x, y] -> [x + dropouts(y)], one dropout or two. */
export type DropoutAddOp = OpShape<'dropoutAdd', { dropouts: Dropouts }>;
/** [x, h, y] -> [x + s (h + dropouts(y) - x)], at most two dropouts; s, p and site as in {@link StochasticDepthOp}. */
export type StochasticDepthAddOp = OpShape<'stochasticDepthAdd', { dropouts: Dropouts; p: number; site: number }>;
/**
 * [q (pairs, D), x (tokens, C)], [key weight (D, C), key bias (D), value weight (D, C), value bias (D)] -> [y (pairs, D),
 * stats (pairs, 2 heads): log-sum-exp and kept mass, keyed (pairs, heads C), pooled (pairs, heads C)].
 *
 * The attention `pairToBoth` of q over the keys and values that linear layers would make of x, which are never made: a head
 * scores x by keyed = K^T q (the key bias moves all scores of a head alike, so softmax and its gradient lose it), pools
 * x by its dropped probabilities, and y = V pooled + mass times the value bias. Exact; saves two products over all tokens.
 */
export type AbsorbedAttentionOp = OpShape<
  'absorbedAttention',
  { heads: number; width: number; p: number; site: number }
>;

export type Op =
  | GatherOp
  | LinearOp
  | LayerNormOp
  | BatchNormOp
  | ActivationOp
  | DropoutOp
  | AddOp
  | StochasticDepthOp
  | AttentionOp
  | SliceRowsOp
  | ConcatRowsOp
  | ExpandOp
  | BceLossOp
  | ActivationDropoutOp
  | DropoutAddOp
  | StochasticDepthAddOp
  | AbsorbedAttentionOp;

export type OpKind = Op['kind'];

/** Every op kind; a test demands an implementation and a gradient check for each. */
export const OP_KINDS: readonly OpKind[] = [
  'gather',
  'linear',
  'layerNorm',
  'batchNorm',
  'activation',
  'dropout',
  'add',
  'stochasticDepth',
  'attention',
  'sliceRows',
  'concatRows',
  'expand',
  'bceLoss',
  'activationDropout',
  'dropoutAdd',
  'stochasticDepthAdd',
  'absorbedAttention',
];

export interface Program {
  readonly name: string;
  /** Width of an embedding row. */
  readonly inputDim: number;
  readonly tensors: readonly TensorSpec[];
  /** In state-dict order. */
  readonly parameters: readonly ParameterSpec[];
  readonly buffers: readonly BufferSpec[];
  /** State-dict order of parameters and buffers together. */
  readonly stateNames: readonly string[];
  readonly initialDraws: readonly InitialDraw[];
  readonly ops: readonly Op[];
  /** (pairs, 1) */
  readonly logits: TensorId;
  /** (pairs, 1) */
  readonly lossPerPair: TensorId;
}

/** Elements of a shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Number of trained values. */
export function parameterCount(program: Program): number {
  return program.parameters.reduce((total, { shape }) => total + elementCount(shape), 0);
}

/**
 * Checks what every engine relies on: ids in range, each tensor written once and before it is read, widths that agree
 * with parameters, slices within their parameters.
 * @throws RelicError RELIC_PROGRAM_INVALID naming the op
 */
export function verifyProgram(program: Program): void {
  const written = new Set<TensorId>();
  const parameters = new Map(program.parameters.map((p) => [p.name, p]));
  program.ops.forEach((op, index) => {
    const fail = (expected: string, received: string): never => {
      throw new RelicError('RELIC_PROGRAM_INVALID', `op ${index} (${op.kind}) of program ${program.name}`, {
        expected,
        received,
      });
    };
    for (const id of op.inputs) {
      if (!written.has(id)) fail('inputs that earlier ops wrote', `tensor ${id} (${program.tensors[id]?.name})`);
    }
    for (const id of op.outputs) {
      if (program.tensors[id] === undefined || written.has(id)) fail('outputs written once', `tensor ${id}`);
      written.add(id);
    }
    for (const slice of op.parameters) {
      const parameter = parameters.get(slice.name);
      if (parameter === undefined) fail('a declared parameter', slice.name);
      else if ((slice.row + slice.rows) * slice.cols > elementCount(parameter.shape)) {
        fail(`a slice within [${parameter.shape}] of ${slice.name}`, `rows ${slice.row} to ${slice.row + slice.rows}`);
      }
    }
    const width = (id: TensorId) => program.tensors[id].cols;
    if (op.kind === 'linear') {
      const weight = op.parameters[0];
      if (width(op.inputs[0]) !== weight.cols || width(op.outputs[0]) !== weight.rows) {
        fail(
          `widths ${weight.cols} to ${weight.rows} of ${weight.name}`,
          `${width(op.inputs[0])} to ${width(op.outputs[0])}`,
        );
      }
    } else if (op.kind === 'absorbedAttention' && width(op.inputs[1]) !== op.parameters[0].cols) {
      fail(`rows of ${op.parameters[0].cols} values`, `${width(op.inputs[1])}`);
    } else if (op.kind === 'attention' && op.attributes.width % op.attributes.heads !== 0) {
      fail('a width divisible by the heads', `${op.attributes.width} / ${op.attributes.heads}`);
    }
  });
  if (!written.has(program.logits) || !written.has(program.lossPerPair)) {
    throw new RelicError('RELIC_PROGRAM_INVALID', `program ${program.name} never writes its logits or its loss`);
  }
}
