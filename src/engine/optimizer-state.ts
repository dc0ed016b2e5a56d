/** The one check of an optimiser's state before an engine takes it over. */
import { type Problem, RelicError } from '../errors.ts';
import type { OptimizerSettings, OptimizerState } from './engine.ts';

/**
 * @param lengths elements of every trained parameter, by name.
 * @throws RelicError RELIC_CHECKPOINT_MISMATCH with every difference between `state` and what is trained
 */
export function checkOptimizerState(
  state: OptimizerState,
  type: OptimizerSettings['type'],
  lengths: ReadonlyMap<string, number>,
): void {
  const problems: Problem[] = [];
  for (const [name, length] of lengths) {
    const moments = state.get(name);
    if (moments === undefined) {
      problems.push({ where: name, message: 'no state for this trained parameter' });
      continue;
    }
    const { first, second, steps } = moments;
    const expected = [length, type === 'adamw' ? length : 0];
    if (first.length !== expected[0] || second.length !== expected[1]) {
      const message = `expected moments of ${expected.join(' and ')} values, received ${first.length} and ${second.length}`;
      problems.push({ where: name, message });
    }
    if (!Number.isSafeInteger(steps) || steps < 0) {
      problems.push({ where: name, message: `expected a count of steps, received ${steps}` });
    }
  }
  for (const name of state.keys()) {
    if (!lengths.has(name)) problems.push({ where: name, message: 'this parameter is not trained' });
  }
  if (problems.length === 0) return;
  throw new RelicError('RELIC_CHECKPOINT_MISMATCH', 'the optimizer state does not fit what is trained', { problems });
}
