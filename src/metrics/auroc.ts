import type { Metric } from './metric.ts';

/** Area under the ROC curve by trapezoids, so a tie counts half: scikit-learn's `roc_auc_score`. */
export const auroc: Metric = {
  name: 'auroc',
  better: 'higher',
  needsBothClasses: true,
  compute(scores) {
    if (!scores.hasBothClasses) return NaN;
    const { truePositives, falsePositives } = scores.curve;
    // Twice the area in units of one pair by one pair: whole numbers, hence exact.
    let doubled = 0;
    for (let i = 0; i < truePositives.length; i++) {
      const before = i === 0 ? 0 : truePositives[i - 1];
      const width = falsePositives[i] - (i === 0 ? 0 : falsePositives[i - 1]);
      doubled += width * (truePositives[i] + before);
    }
    return doubled / 2 / (scores.positives * scores.negatives);
  },
};
