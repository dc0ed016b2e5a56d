/** Parameter initialisers: plain data, and the float32 values that `torch.nn.init` draws for them, bit for bit. */
import { RelicError } from '../errors.ts';
import type { TorchGenerator } from './torch-generator.ts';

/** How a parameter starts. `kaimingUniform` with a = sqrt(5) is the weight of `nn.Linear`. */
export type Initialiser =
  | { readonly kind: 'kaimingUniform'; readonly a: number }
  | { readonly kind: 'xavierUniform' }
  /** Uniform in [-bound, bound). The bias of `nn.Linear` has the bound 1 / sqrt(inputs). */
  | { readonly kind: 'uniform'; readonly bound: number }
  | { readonly kind: 'normal'; readonly mean: number; readonly std: number }
  | { readonly kind: 'constant'; readonly value: number };

/**
 * Row-major float32 values for a parameter of this shape. Takes from `generator` what torch takes; a constant takes
 * nothing. Sources: He et al. 2015 (kaiming), Glorot and Bengio 2010 (xavier).
 *
 * @param shape a weight is [outputs, inputs].
 * @throws RELIC_PROGRAM_INVALID when a kaiming or xavier parameter is not a matrix.
 */
export function initialise(init: Initialiser, shape: readonly number[], generator: TorchGenerator): Float32Array {
  const out = new Float32Array(shape.reduce((size, length) => size * length, 1));
  switch (init.kind) {
    case 'constant':
      return out.fill(init.value);
    case 'normal':
      generator.normal(out, init.mean, init.std);
      return out;
    case 'uniform':
    case 'kaimingUniform':
    case 'xavierUniform': {
      const bound = uniformBound(init, shape);
      generator.uniform(out, -bound, bound);
      return out;
    }
  }
}

type UniformInitialiser = Extract<Initialiser, { kind: 'uniform' | 'kaimingUniform' | 'xavierUniform' }>;

/** In double precision and in the order of torch, which rounds the bound to float32 once, where it draws. */
function uniformBound(init: UniformInitialiser, shape: readonly number[]): number {
  if (init.kind === 'uniform') return init.bound;
  if (shape.length !== 2) {
    throw new RelicError('RELIC_PROGRAM_INVALID', `initialiser ${init.kind} needs a matrix`, {
      expected: 'a shape [outputs, inputs]',
      received: `[${shape.join(', ')}]`,
    });
  }
  const [outputs, inputs] = shape;
  if (init.kind === 'xavierUniform') return Math.sqrt(3) * Math.sqrt(2 / (inputs + outputs));
  const gain = Math.sqrt(2 / (1 + init.a ** 2));
  return Math.sqrt(3) * (gain / Math.sqrt(inputs));
}
