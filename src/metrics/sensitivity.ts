import type { Metric } from './metric.ts';
import { recall } from './recall.ts';

/** The name of recall in diagnostics, kept because it is a column of its own. */
export const sensitivity: Metric = {
  name: 'sensitivity',
  better: 'higher',
  needsBothClasses: false,
  compute(scores) {
    return recall.compute(scores);
  },
};
