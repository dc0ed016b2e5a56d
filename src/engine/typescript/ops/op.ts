/** One op of the TypeScript engine: the reference that the native engines are compared with. */
import type { BackwardOp } from '../../../model/autodiff.ts';
import type { Op } from '../../../model/program.ts';
import type { Runtime } from '../runtime.ts';

export interface OpImplementation<O extends Op> {
  /** Writes the outputs of `op`. */
  forward(op: O, runtime: Runtime): void;
  /** Adds to the gradients that `backward` names, from those of the outputs. */
  backward(op: O, backward: BackwardOp, runtime: Runtime): void;
}
