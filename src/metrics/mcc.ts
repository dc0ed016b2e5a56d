import type { Metric } from './metric.ts';
import { ratio } from './scores.ts';

/** Matthews correlation coefficient; 0 when the labels or the calls are of one class: `matthews_corrcoef`. */
export const mcc: Metric = {
  name: 'mcc',
  better: 'higher',
  needsBothClasses: false,
  compute({ confusion, positives, negatives }) {
    const { truePositives, falsePositives, trueNegatives, falseNegatives } = confusion;
    const covariance = truePositives * trueNegatives - falsePositives * falseNegatives;
    const calledPositive = truePositives + falsePositives;
    const calledNegative = trueNegatives + falseNegatives;
    return ratio(covariance, Math.sqrt(calledPositive * positives) * Math.sqrt(calledNegative * negatives));
  },
};
