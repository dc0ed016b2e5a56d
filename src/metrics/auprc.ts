import type { Metric } from './metric.ts';

/** Average precision, the step-wise area under the precision-recall curve: `average_precision_score`. */
export const auprc: Metric = {
  name: 'auprc',
  better: 'higher',
  needsBothClasses: true,
  compute(scores) {
    if (!scores.hasBothClasses) return NaN;
    const { truePositives, falsePositives } = scores.curve;
    let sum = 0;
    for (let i = 0; i < truePositives.length; i++) {
      const gained = truePositives[i] - (i === 0 ? 0 : truePositives[i - 1]);
      sum += gained * (truePositives[i] / (truePositives[i] + falsePositives[i]));
    }
    return sum / scores.positives;
  },
};
