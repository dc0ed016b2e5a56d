import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ownDevice } from '../../../src/engine/cuda/device.ts';
import { assertThrowsCode } from '../../assert.ts';

const test = suite('engine/cuda/device');
const gpu = (usable: boolean) => ({ name: 'GPU', capability: '9.0', memoryBytes: 1, usable });

test('every rank of a node has a GPU of its own, among those that can be used', () => {
  const devices = [gpu(true), gpu(false), gpu(true)];
  assert.equal([ownDevice(devices), ownDevice(devices, 0), ownDevice(devices, 1)], [0, 0, 2]);
  assertThrowsCode(() => ownDevice(devices, 2), 'RELIC_ENGINE_UNAVAILABLE', /2 ranks on this node at most/);
});

test('the only one that is visible belongs to whoever sees it', () => {
  assert.is(ownDevice([gpu(true)], 3), 0);
});

test.run();
