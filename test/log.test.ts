import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { consoleLog, eventBody, float, formatFixed, nullLog } from '../src/log.ts';

const test = suite('log');

test('an event body has sorted keys and Python values', () => {
  const fields = { stage: 'pretrain', b: true, a: false, none: null, n: 20, big: 10n ** 20n, left_out: undefined };
  assert.is(
    eventBody('stage_start', { ...fields, loss: float(1), lr: 0.25, Z: -3 }),
    'stage_start | Z=-3 | a=False | b=True | big=100000000000000000000 | loss=1.000000 | lr=0.250000 | n=20 | none=None | stage=pretrain',
  );
  assert.is(eventBody('alone', {}), 'alone');
});

test('whole plain numbers are integers however large', () => {
  assert.is(eventBody('e', { n: 1e21, zero: -0 }), 'e | n=1000000000000000000000 | zero=0');
});

// Right-hand sides are what Python prints.
const FIXED: [number, number, string][] = [
  [0.648668415, 6, '0.648668'],
  [1 / 128, 6, '0.007812'],
  [3 / 128, 6, '0.023438'],
  [-1 / 128, 6, '-0.007812'],
  [123456.0078125, 6, '123456.007812'],
  [0.5, 0, '0'],
  [1.5, 0, '2'],
  [2.5, 0, '2'],
  [0.00005, 4, '0.0001'],
  [0.03125, 4, '0.0312'],
  [0.09375, 4, '0.0938'],
  [-0, 6, '-0.000000'],
  [-1e-9, 6, '-0.000000'],
  [5e-324, 6, '0.000000'],
  [1e21, 6, '1000000000000000000000.000000'],
  [-1e22, 0, '-10000000000000000000000'],
  [123456789012345680, 6, '123456789012345680.000000'],
  [Number.NaN, 6, 'nan'],
  [Number.POSITIVE_INFINITY, 6, 'inf'],
  [Number.NEGATIVE_INFINITY, 6, '-inf'],
];

test('fixed decimals round the exact value, ties to even, as C does', () => {
  for (const [value, digits, text] of FIXED) assert.is(formatFixed(value, digits), text, `${value} to ${digits}`);
});

test('the null log takes everything', () => {
  const log = nullLog();
  log.event('a', { b: 1 });
  log.heartbeat('a');
  log.warning('a');
  log.error('a');
  log.close();
});

test('the console log writes LEVEL:relic_train:text', () => {
  const lines: string[] = [];
  const log = consoleLog({ stream: { write: (text) => lines.push(text) } });
  log.info('Loaded config: a.yaml');
  log.warn('w');
  log.error('e');
  assert.equal(lines, ['INFO:relic_train:Loaded config: a.yaml\n', 'WARNING:relic_train:w\n', 'ERROR:relic_train:e\n']);
});

test.run();
