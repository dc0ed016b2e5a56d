/** What a training strategy decides: which parameters are trained, and from which epoch on. */

export type Trainable = (parameter: string) => boolean;

export interface Strategy {
  /** What is trained from the first step on. */
  onTrainBegin(): Trainable;
  /**
   * What is trained from this epoch on, or null for no change.
   *
   * @param epoch counted from 0; called once an epoch, in order.
   */
  onEpochStart(epoch: number): Trainable | null;
  /** What it has decided so far, for {@link restore}. */
  state(): StrategyState;
  /** Goes on from `state` in place of `onTrainBegin`, and returns what was trained then. */
  restore(state: StrategyState): Trainable;
}

export interface StrategyState {
  /** Whether some parameters wait for their epoch. */
  readonly frozen: boolean;
}

/** `training_config.strategy`, as far as strategies read it. */
export interface StrategyOptions {
  readonly unfreeze_epoch: number;
  readonly initial_trainable_prefixes: readonly string[];
}

export type StrategyFactory = (options: StrategyOptions, parameters: readonly string[]) => Strategy;
