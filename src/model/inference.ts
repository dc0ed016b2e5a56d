/** Rewrites of a program for scoring: no dropout, and the part that sees one sequence at a time set apart. */
import type { Op, Program, TensorId } from './program.ts';

/** The program without dropout and stochastic depth, whose outputs become their (second) inputs; attention keeps p = 0. */
export function forInference(program: Program): Program {
  const alias = new Map<TensorId, TensorId>();
  const real = (id: TensorId) => alias.get(id) ?? id;
  const ops: Op[] = [];
  for (const op of program.ops) {
    if (op.kind === 'dropout') alias.set(op.outputs[0], real(op.inputs[0]));
    else if (op.kind === 'stochasticDepth') alias.set(op.outputs[0], real(op.inputs[1]));
    else ops.push(withoutDropout({ ...op, inputs: op.inputs.map(real) }));
  }
  return { ...program, ops, logits: real(program.logits) };
}

/** The op with every rate 0; a fusion of nothing but dropout becomes what it held. */
function withoutDropout(op: Op): Op {
  const { outputs, parameters } = op;
  switch (op.kind) {
    case 'attention':
      return { ...op, attributes: { ...op.attributes, p: 0 } };
    case 'absorbedAttention':
      return { ...op, attributes: { ...op.attributes, p: 0 } };
    case 'activationDropout': {
      const { inputs, attributes } = op;
      return { kind: 'activation', inputs, outputs, parameters, attributes: { function: attributes.function } };
    }
    case 'dropoutAdd':
      return { kind: 'add', inputs: op.inputs, outputs, parameters, attributes: {} };
    case 'stochasticDepthAdd':
      return { kind: 'add', inputs: op.inputs.slice(1), outputs, parameters, attributes: {} };
    default:
      return op;
  }
}

/**
 * The leading ops of a program that work on sequences one by one (rows `tokens`, attention `self`), and the one tensor
 * that later ops read from them: what scoring may compute once a protein and keep.
 */
export interface SequencePrefix {
  /** Number of leading ops. */
  readonly ops: number;
  readonly output: TensorId;
}

/** The longest such prefix with a single tensor crossing its end; undefined when there is none. */
export function sequencePrefix(program: Program): SequencePrefix | undefined {
  let best: SequencePrefix | undefined;
  for (let end = 1; end <= program.ops.length; end++) {
    const op = program.ops[end - 1];
    const perSequence =
      op.outputs.every((id) => program.tensors[id].rows === 'tokens') &&
      op.kind !== 'concatRows' &&
      (op.kind !== 'attention' || op.attributes.segments === 'self');
    if (!perSequence) break;
    const written = new Set(program.ops.slice(0, end).flatMap((each) => each.outputs));
    const crossing = new Set(program.ops.slice(end).flatMap((each) => each.inputs.filter((id) => written.has(id))));
    if (crossing.size === 1) best = { ops: end, output: [...crossing][0] };
  }
  return best;
}
