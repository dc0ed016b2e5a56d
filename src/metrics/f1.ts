import type { Metric } from './metric.ts';
import { ratio } from './scores.ts';

/** The harmonic mean of precision and recall; 0 without a positive label or call. */
export const f1: Metric = {
  name: 'f1',
  better: 'higher',
  needsBothClasses: false,
  compute({ confusion, positives }) {
    const { truePositives, falsePositives } = confusion;
    return ratio(2 * truePositives, truePositives + falsePositives + positives);
  },
};
