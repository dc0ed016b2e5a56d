import type { Metric } from './metric.ts';
import { ratio } from './scores.ts';

/** The share of negatives that were called negative; 0 without a negative. */
export const specificity: Metric = {
  name: 'specificity',
  better: 'higher',
  needsBothClasses: false,
  compute({ confusion, negatives }) {
    return ratio(confusion.trueNegatives, negatives);
  },
};
