import type { HardExamples } from '../engine.ts';
import type { Reals } from './matmul.ts';

/** Indices of the pairs of largest loss that online hard-example mining keeps (Shrivastava et al. 2016; contract 1.7). */
export function hardestPairs(losses: Reals, { keepRatio, minKeep }: HardExamples): number[] {
  const count = Math.min(losses.length, Math.max(minKeep, Math.ceil(losses.length * keepRatio)));
  return Array.from(losses.keys())
    .sort((i, j) => losses[j] - losses[i] || i - j)
    .slice(0, count);
}
