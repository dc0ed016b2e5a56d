import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseOptions } from '../../src/cli/options.ts';
import { assertThrowsCode } from '../assert.ts';

const OPTIONS = {
  config: { type: 'text', value: 'FILE', required: true, description: '' },
  set: { type: 'list', value: 'K=V', description: '' },
  'dry-run': { type: 'flag', description: '' },
  ranks: { type: 'integer', value: 'N', minimum: 1, description: '' },
} as const;

const parse = (...args: string[]) => parseOptions(args, OPTIONS, 'relic-train train');
const test = suite('cli/options');

test('reads every type, in both spellings, in any order', () => {
  const values = parse('--dry-run', '--set', 'a=1', '--config=x.yaml', '--set=b==2', '--ranks', '3');
  assert.equal(values, { config: 'x.yaml', set: ['a=1', 'b==2'], 'dry-run': true, ranks: 3 });
});

test('flags and lists that are not given are false and empty', () => {
  assert.equal(parse('--config', 'x'), { config: 'x', set: [], 'dry-run': false });
});

test('a value may begin with one dash, as a negative number does', () => {
  assert.is(parse('--config', '-x').config, '-x');
});

test('an unknown option is refused with the nearest name', () => {
  assertThrowsCode(() => parse('--confg', 'x'), 'RELIC_USAGE', /unknown option --confg\n.*did you mean --config\?/);
  assertThrowsCode(() => parse('--zzzzzz'), 'RELIC_USAGE', /unknown option --zzzzzz\n.*relic-train train --help/);
  assertThrowsCode(() => parse('-q'), 'RELIC_USAGE', /unknown option -q/);
  assertThrowsCode(() => parse('--toString'), 'RELIC_USAGE', /unknown option --toString/);
});

test('a missing or unwanted value and a stray word are refused', () => {
  assertThrowsCode(() => parse('--config'), 'RELIC_USAGE', /--config needs a value/);
  assertThrowsCode(() => parse('--config='), 'RELIC_USAGE', /--config needs a value/);
  assertThrowsCode(() => parse('--config', '--dry-run'), 'RELIC_USAGE', /--config needs a value/);
  assertThrowsCode(() => parse('--config', 'x', '--dry-run=yes'), 'RELIC_USAGE', /--dry-run takes no value/);
  assertThrowsCode(() => parse('--config', 'x', 'y'), 'RELIC_USAGE', /unexpected argument "y"/);
});

test('a required option must be there', () => {
  assertThrowsCode(() => parse('--dry-run'), 'RELIC_USAGE', /--config is required/);
});

test('an integer is checked', () => {
  for (const text of ['0', '-1', '1.5', '1e3', 'x', '0x10', '99999999999999999999']) {
    assertThrowsCode(
      () => parse('--config', 'x', `--ranks=${text}`),
      'RELIC_USAGE',
      /--ranks: expected an integer of at/,
    );
  }
});

test.run();
