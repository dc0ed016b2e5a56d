/** Training strategies by name. To add one: one file here, one line below. */
import { none } from './none.ts';
import { stagedUnfreeze } from './staged-unfreeze.ts';
import type { Strategy, StrategyFactory, StrategyOptions } from './strategy.ts';

export const STRATEGIES = { none, staged_unfreeze: stagedUnfreeze } as const satisfies Record<string, StrategyFactory>;

export type StrategyName = keyof typeof STRATEGIES;

/**
 * A strategy for one stage: strategies keep state, so each stage takes a new one.
 *
 * @param parameters names of the model's parameters.
 * @throws RELIC_CONFIG_INVALID as the strategy says.
 */
export function createStrategy(
  options: StrategyOptions & { readonly type: StrategyName },
  parameters: readonly string[],
): Strategy {
  return STRATEGIES[options.type](options, parameters);
}
