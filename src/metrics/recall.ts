import type { Metric } from './metric.ts';
import { ratio } from './scores.ts';

/** The share of positives that were called positive; 0 without a positive. */
export const recall: Metric = {
  name: 'recall',
  better: 'higher',
  needsBothClasses: false,
  compute({ confusion, positives }) {
    return ratio(confusion.truePositives, positives);
  },
};
