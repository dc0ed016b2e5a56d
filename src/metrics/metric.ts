import type { Scores } from './scores.ts';

export type MetricDirection = 'higher' | 'lower';

export interface Metric {
  /** Its key in configs, CSV columns and events. */
  readonly name: string;
  /** Which way is better, for the choice of the best epoch. */
  readonly better: MetricDirection;
  /** Whether it is undefined on a split of one class; `compute` gives NaN there. */
  readonly needsBothClasses: boolean;
  /** The value over a whole split, equal to scikit-learn's to 1e-12. */
  compute(scores: Scores): number;
}
