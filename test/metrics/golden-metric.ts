/** Scores of the golden cases, and the check of one metric against scikit-learn's value on each of them. */
import type { Metric } from '../../src/metrics/metric.ts';
import { Scores } from '../../src/metrics/scores.ts';
import { assertClose } from '../assert.ts';
import { goldenVectors } from '../golden.ts';

export const goldenMetrics = goldenVectors<{ expected: Record<string, Record<string, number>> }>('metrics');

/** Scores at the threshold 0.5 unless told. */
export function scoresOf(labels: ArrayLike<number>, probabilities: ArrayLike<number>, threshold = 0.5): Scores {
  return new Scores({ labels: Float32Array.from(labels), probabilities: Float64Array.from(probabilities), threshold });
}

export function goldenInput(name: string) {
  const labels = goldenMetrics.tensors.get(`${name}.label`)!.data as Float32Array;
  const probabilities = goldenMetrics.tensors.get(`${name}.prob`)!.data as Float32Array;
  return { labels, probabilities, threshold: 0.5 };
}

/** Passes when the metric is within 1e-12 on every case; a ranking metric must be NaN where there is one class. */
export function assertGolden(metric: Metric): void {
  for (const [name, expected] of Object.entries(goldenMetrics.case.expected)) {
    const scores = new Scores(goldenInput(name));
    const undefinedHere = metric.needsBothClasses && !scores.hasBothClasses;
    assertClose([metric.compute(scores)], [undefinedHere ? NaN : expected[metric.name]], { abs: 1e-12, what: name });
  }
}
