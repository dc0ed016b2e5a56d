import type { Metric } from './metric.ts';
import { ratio } from './scores.ts';

/** The share of positive calls that were right; 0 without a positive call. */
export const precision: Metric = {
  name: 'precision',
  better: 'higher',
  needsBothClasses: false,
  compute({ confusion }) {
    return ratio(confusion.truePositives, confusion.truePositives + confusion.falsePositives);
  },
};
