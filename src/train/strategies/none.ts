import type { StrategyFactory } from './strategy.ts';

/** Every parameter is trained from start to end. */
export const none: StrategyFactory = () => ({
  onTrainBegin: () => () => true,
  onEpochStart: () => null,
  state: () => ({ frozen: false }),
  restore: () => () => true,
});
