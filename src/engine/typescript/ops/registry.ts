/** The implementation of every op kind. */
import type { Op, OpKind } from '../../../model/program.ts';
import { absorbedAttention } from './absorbed-attention.ts';
import { activation, activationDropout } from './activation.ts';
import { add } from './add.ts';
import { attention } from './attention.ts';
import { batchNorm } from './batch-norm.ts';
import { bceLoss } from './bce-loss.ts';
import { dropout } from './dropout.ts';
import { gather } from './gather.ts';
import { layerNorm } from './layer-norm.ts';
import { linear } from './linear.ts';
import type { OpImplementation } from './op.ts';
import { dropoutAdd, stochasticDepthAdd } from './residual.ts';
import { concatRows, expand, sliceRows } from './rows.ts';
import { stochasticDepth } from './stochastic-depth.ts';

type Implementations = { readonly [Kind in OpKind]: OpImplementation<Extract<Op, { kind: Kind }>> };

const IMPLEMENTATIONS: Implementations = {
  gather,
  linear,
  layerNorm,
  batchNorm,
  activation,
  dropout,
  add,
  stochasticDepth,
  attention,
  sliceRows,
  concatRows,
  expand,
  bceLoss,
  activationDropout,
  dropoutAdd,
  stochasticDepthAdd,
  absorbedAttention,
};

/** The implementation of one op, typed for the op it is looked up with. */
export function implementationOf<O extends Op>(op: O): OpImplementation<O> {
  return IMPLEMENTATIONS[op.kind] as unknown as OpImplementation<O>;
}
