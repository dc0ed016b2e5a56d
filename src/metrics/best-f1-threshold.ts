import type { Scores } from './scores.ts';

/**
 * The observed probability that gives the highest F1 when it is taken as the threshold; of equals, the highest.
 * Undefined without a positive, where F1 is 0 at every threshold.
 */
export function bestF1Threshold(scores: Scores): number | undefined {
  const { thresholds, truePositives, falsePositives } = scores.curve;
  let best: number | undefined;
  let bestF1 = 0;
  for (let i = 0; i < thresholds.length; i++) {
    const f1 = (2 * truePositives[i]) / (truePositives[i] + falsePositives[i] + scores.positives);
    if (f1 > bestF1) [best, bestF1] = [thresholds[i], f1];
  }
  return best;
}
