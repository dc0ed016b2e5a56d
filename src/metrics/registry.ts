/** Metrics by name. To add one: one file here, one line below. */
import { nearest, RelicError } from '../errors.ts';
import { accuracy } from './accuracy.ts';
import { auprc } from './auprc.ts';
import { auroc } from './auroc.ts';
import { f1 } from './f1.ts';
import { mcc } from './mcc.ts';
import type { Metric, MetricDirection } from './metric.ts';
import { precision } from './precision.ts';
import { recall } from './recall.ts';
import { type ScoreInput, Scores } from './scores.ts';
import { sensitivity } from './sensitivity.ts';
import { specificity } from './specificity.ts';

/** All metrics, in the column order of evaluate.csv. */
export const METRICS: ReadonlyMap<string, Metric> = new Map(
  [auroc, auprc, accuracy, sensitivity, specificity, precision, recall, f1, mcc].map((metric) => [metric.name, metric]),
);

/** The name under which the validation loss can be monitored; it is no metric of labels and probabilities. */
const LOSS = 'loss';

/**
 * The named metrics over a whole split, in the order of `names`. A metric that is undefined there, because the split
 * has one class, is null.
 *
 * @throws RELIC_CONFIG_INVALID for an unknown name, and what {@link Scores} throws.
 */
export function computeMetrics(names: Iterable<string>, input: ScoreInput): Map<string, number | null> {
  const scores = new Scores(input);
  const values = new Map<string, number | null>();
  for (const name of names) {
    const value = metricNamed(name, METRICS.keys()).compute(scores);
    values.set(name, Number.isNaN(value) ? null : value);
  }
  return values;
}

/**
 * Which way is better for a metric or for `loss`.
 *
 * @throws RELIC_CONFIG_INVALID for an unknown name.
 */
export function metricDirection(name: string): MetricDirection {
  return name === LOSS ? 'lower' : metricNamed(name, [...METRICS.keys(), LOSS]).better;
}

function metricNamed(name: string, allowed: Iterable<string>): Metric {
  const metric = METRICS.get(name);
  if (metric !== undefined) return metric;
  const names = [...allowed];
  const near = nearest(name, names);
  throw new RelicError('RELIC_CONFIG_INVALID', 'unknown metric', {
    expected: `one of ${names.join(', ')}`,
    received: name,
    ...(near === undefined ? {} : { fix: `did you mean ${near}?` }),
  });
}
