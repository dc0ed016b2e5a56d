import { readdirSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { computeMetrics, METRICS, metricDirection } from '../../src/metrics/registry.ts';
import { assertThrowsCode } from '../assert.ts';
import { goldenInput, goldenMetrics } from './golden-metric.ts';

const HELPERS = ['best-f1-threshold', 'metric', 'registry', 'scores'];

const test = suite('metric registry');

test('has every metric file of its directory, under the name of the file', () => {
  const files = readdirSync(new URL('../../src/metrics', import.meta.url)).map((file) => file.replace('.ts', ''));
  assert.equal([...METRICS.keys(), ...HELPERS].sort(), files.sort());
  for (const [name, metric] of METRICS) assert.is(metric.name, name);
});

test('is in the column order of evaluate.csv', () => {
  const columns = 'auroc, auprc, accuracy, sensitivity, specificity, precision, recall, f1, mcc';
  assert.is([...METRICS.keys()].join(', '), columns);
});

test('computes the named metrics, in the order of the names', () => {
  const { random } = goldenMetrics.case.expected;
  const values = computeMetrics(['mcc', 'accuracy'], goldenInput('random'));
  assert.equal([...values.keys()], ['mcc', 'accuracy']);
  assert.is(values.get('accuracy'), random.accuracy);
});

test('gives null for what one class leaves undefined, and all else', () => {
  const values = computeMetrics(METRICS.keys(), goldenInput('only_positive'));
  assert.equal(
    [...values].filter(([, value]) => value === null).map(([name]) => name),
    ['auroc', 'auprc'],
  );
  for (const [name, metric] of METRICS) assert.is(values.get(name) === null, metric.needsBothClasses);
});

test('an unknown name fails with a hint', () => {
  const unknown = () => computeMetrics(['aucroc'], goldenInput('perfect'));
  assertThrowsCode(
    unknown,
    'RELIC_CONFIG_INVALID',
    /one of auroc, auprc.*received aucroc\n {2}fix: did you mean auroc\?/,
  );
  assertThrowsCode(() => computeMetrics(['loss'], goldenInput('perfect')), 'RELIC_CONFIG_INVALID');
});

test('the loss falls and all metrics rise', () => {
  assert.is(metricDirection('loss'), 'lower');
  for (const name of METRICS.keys()) assert.is(metricDirection(name), 'higher');
  assertThrowsCode(() => metricDirection('xyz'), 'RELIC_CONFIG_INVALID', /mcc, loss, received xyz$/);
});

test.run();
