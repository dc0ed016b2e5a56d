import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { measureFlopRate } from '../../src/cli/calibrate.ts';

const test = suite('cli/calibrate');

test('measures a believable speed, even when it has hardly any time', () => {
  const rate = measureFlopRate(0);
  assert.ok(rate > 1e6 && rate < 1e13, `${rate}`);
});

test.run();
