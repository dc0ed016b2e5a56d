import type { Metric } from './metric.ts';
import { ratio } from './scores.ts';

/** The share of pairs called right. */
export const accuracy: Metric = {
  name: 'accuracy',
  better: 'higher',
  needsBothClasses: false,
  compute({ confusion, positives, negatives }) {
    const { truePositives, trueNegatives } = confusion;
    return ratio(truePositives + trueNegatives, positives + negatives);
  },
};
