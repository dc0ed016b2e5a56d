import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { buildModel } from '../../src/model/registry.ts';
import { assertThrowsCode } from '../assert.ts';
import { NO_LOSS_OPTIONS, smallV3 } from './v3-config.ts';

const test = suite('registry');

test('a model is built by name', () => {
  assert.is(buildModel('v3', smallV3(), NO_LOSS_OPTIONS).name, 'v3');
});

test('an unknown model is named with the nearest known one', () => {
  assertThrowsCode(
    () => buildModel('v4', smallV3(), NO_LOSS_OPTIONS),
    'RELIC_MODEL_UNKNOWN',
    /Unknown model: v4[\s\S]*v3/,
  );
  assertThrowsCode(() => buildModel('toString', smallV3(), NO_LOSS_OPTIONS), 'RELIC_MODEL_UNKNOWN');
});

test.run();
