import { nearest, RelicError } from '../../errors.ts';
import type { StrategyFactory, Trainable } from './strategy.ts';

/**
 * At first only the parameters whose name begins with one of the prefixes are trained; at the start of epoch
 * `unfreeze_epoch`, counted from 0, all become trainable (contract 1.7). A prefix may carry the `module.` of
 * DistributedDataParallel.
 *
 * @throws RELIC_CONFIG_INVALID when a prefix begins no parameter's name, or there is no prefix.
 */
export const stagedUnfreeze: StrategyFactory = (options, parameters) => {
  const prefixes = options.initial_trainable_prefixes.map((prefix) => prefix.replace(/^module\./, ''));
  for (const prefix of prefixes) {
    if (!parameters.some((name) => name.startsWith(prefix))) throw matchesNothing(prefix, parameters);
  }
  if (prefixes.length === 0) throw matchesNothing('', []);
  let frozen = true;
  const trainable = (): Trainable =>
    frozen ? (name) => prefixes.some((prefix) => name.startsWith(prefix)) : () => true;
  return {
    onTrainBegin: trainable,
    onEpochStart(epoch) {
      if (!frozen || epoch < options.unfreeze_epoch) return null;
      frozen = false;
      return trainable();
    },
    state: () => ({ frozen }),
    restore(state) {
      frozen = state.frozen;
      return trainable();
    },
  };
};

function matchesNothing(prefix: string, parameters: readonly string[]): RelicError {
  const names = parameters.flatMap(leadingParts);
  const hint = nearest(prefix, names);
  const groups = [...new Set(parameters.map((name) => name.split('.')[0]))];
  return new RelicError('RELIC_CONFIG_INVALID', 'no parameter would be trained before the unfreezing', {
    where: 'training_config.strategy.initial_trainable_prefixes',
    expected: `the beginning of a parameter's name${groups.length > 0 ? `, such as ${groups.join(', ')}` : ''}`,
    received: prefix === '' ? 'an empty list' : prefix,
    ...(hint === undefined ? {} : { fix: `did you mean ${hint}?` }),
  });
}

/** `a.b.c` -> a, a.b, a.b.c. */
function leadingParts(name: string): string[] {
  const parts = name.split('.');
  return parts.map((_, i) => parts.slice(0, i + 1).join('.'));
}
