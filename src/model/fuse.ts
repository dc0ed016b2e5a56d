/**
 * Rewrites of a program for engines that ask for them: fewer passes over memory, and products that need not be made. The
 * rewritten program draws the same masks and computes the same values, but for rounding; the program it came from remains
 * the specification.
 */
import type { Dropouts, LinearOp, Op, ParameterSlice, Program, TensorId, TensorSpec } from './program.ts';

/** Masks that one op can apply in a row. */
const MAX_DROPOUTS = 2;

/**
 * Puts {@link ActivationDropoutOp}, {@link DropoutAddOp}, {@link StochasticDepthAddOp} and {@link AbsorbedAttentionOp} where
 * their parts follow each other and nothing else reads what is in between. Tensors keep their ids; new ones come last.
 */
export function fuse(program: Program): Program {
  return new Fuser(program).run();
}

class Fuser {
  private readonly program: Program;
  private readonly tensors: TensorSpec[];
  /** Reads of each tensor. */
  private readonly uses = new Map<TensorId, number>();
  /** The op that writes a tensor, until it is taken into another. */
  private readonly writers = new Map<TensorId, Op>();

  constructor(program: Program) {
    this.program = program;
    this.tensors = [...program.tensors];
    const read = (id: TensorId) => this.uses.set(id, (this.uses.get(id) ?? 0) + 1);
    for (const op of program.ops) op.inputs.forEach(read);
    read(program.logits);
    read(program.lossPerPair);
  }

  run(): Program {
    const kept = new Set<Op>();
    for (const op of this.program.ops) {
      const fused = this.fused(op) ?? op;
      kept.add(fused);
      for (const id of fused.outputs) this.writers.set(id, fused);
    }
    const ops = [...kept].filter((op) => this.writers.get(op.outputs[0]) === op);
    return { ...this.program, tensors: this.tensors, ops };
  }

  private fused(op: Op): Op | undefined {
    switch (op.kind) {
      case 'dropout':
        return this.activationDropout(op.inputs[0], op.outputs, op.attributes);
      case 'add':
        return this.dropoutAdd(op);
      case 'stochasticDepth':
        return this.stochasticDepthAdd(op.inputs, op.outputs, op.attributes);
      case 'attention':
        if (op.attributes.segments !== 'pairToBoth') return undefined;
        return this.absorbedAttention(op);
      default:
        return undefined;
    }
  }

  /** The op that writes a tensor which is read once, if it is of this kind. */
  private only<Kind extends Op['kind']>(id: TensorId, kind: Kind): Extract<Op, { kind: Kind }> | undefined {
    const writer = this.writers.get(id);
    return writer?.kind === kind && this.uses.get(id) === 1 ? (writer as Extract<Op, { kind: Kind }>) : undefined;
  }

  /** Marks an op as taken into another, whose outputs replace its own. */
  private take(op: Op): void {
    for (const id of op.outputs) this.writers.delete(id);
  }

  private activationDropout(x: TensorId, outputs: Op['outputs'], { p, site }: Dropouts[number]): Op | undefined {
    const activation = this.only(x, 'activation');
    if (activation === undefined) return undefined;
    this.take(activation);
    const attributes = { function: activation.attributes.function, p, site };
    return { kind: 'activationDropout', inputs: activation.inputs, outputs, parameters: [], attributes };
  }

  private dropoutAdd({ inputs: [x, y], outputs }: Op): Op | undefined {
    const dropouts: Dropouts[number][] = [];
    let source = y;
    while (dropouts.length < MAX_DROPOUTS) {
      const dropout = this.only(source, 'dropout');
      if (dropout === undefined) break;
      this.take(dropout);
      dropouts.unshift(dropout.attributes);
      source = dropout.inputs[0];
    }
    if (dropouts.length === 0) return undefined;
    return { kind: 'dropoutAdd', inputs: [x, source], outputs, parameters: [], attributes: { dropouts } };
  }

  private stochasticDepthAdd(
    [x, layer]: Op['inputs'],
    outputs: Op['outputs'],
    { p, site }: Dropouts[number],
  ): Op | undefined {
    const sum = this.only(layer, 'dropoutAdd') ?? this.only(layer, 'add');
    if (sum === undefined) return undefined;
    this.take(sum);
    const dropouts = sum.kind === 'add' ? [] : sum.attributes.dropouts;
    const inputs = [x, ...sum.inputs];
    return { kind: 'stochasticDepthAdd', inputs, outputs, parameters: [], attributes: { dropouts, p, site } };
  }

  private absorbedAttention({ inputs, outputs, attributes }: Extract<Op, { kind: 'attention' }>): Op | undefined {
    const { heads, width, queryOffset, keyOffset, valueOffset, p, site } = attributes;
    const [query, keyValue] = inputs;
    const linear = this.only(keyValue, 'linear');
    const wholeQuery = queryOffset === 0 && this.tensors[query].cols === width;
    if (linear === undefined || !wholeQuery || !holdsKeysAndValues(linear, width, keyOffset, valueOffset)) {
      return undefined;
    }
    this.take(linear);
    const part = (slice: ParameterSlice, offset: number) => ({ ...slice, row: slice.row + offset, rows: width });
    const [weight, bias] = linear.parameters;
    const parameters = [
      part(weight, keyOffset),
      part(bias, keyOffset),
      part(weight, valueOffset),
      part(bias, valueOffset),
    ];
    const { name } = this.tensors[outputs[0]];
    const tensor = (suffix: string, cols: number) =>
      this.tensors.push({ name: `${name}.${suffix}`, rows: 'pairs', cols }) - 1;
    return {
      kind: 'absorbedAttention',
      inputs: [query, linear.inputs[0]],
      outputs: [
        outputs[0],
        tensor('stats', 2 * heads),
        tensor('keyed', heads * weight.cols),
        tensor('pooled', heads * weight.cols),
      ],
      parameters,
      attributes: { heads, width, p, site },
    };
  }
}

/** Whether the columns of a linear are the keys and the values, and nothing else. */
function holdsKeysAndValues({ parameters }: LinearOp, width: number, keyOffset: number, valueOffset: number): boolean {
  const both = [keyOffset, valueOffset].toSorted((a, b) => a - b);
  return parameters.length === 2 && parameters[0].rows === 2 * width && both[0] === 0 && both[1] === width;
}
