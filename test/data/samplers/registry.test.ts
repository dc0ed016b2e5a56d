import { readdirSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createSampler, SAMPLERS } from '../../../src/data/samplers/registry.ts';
import { TorchGenerator } from '../../../src/random/torch-generator.ts';

const test = suite('sampler registry');

test('has every file of its directory, under the name of the file', () => {
  const files = readdirSync(new URL('../../../src/data/samplers', import.meta.url));
  const names = files.map((file) => file.replace('.ts', '')).filter((name) => name !== 'registry');
  assert.equal(Object.keys(SAMPLERS).sort(), names.sort());
});

test('creates by name', () => {
  const generator = new TorchGenerator(0);
  const options = { length: 4, generator, seed: 0, rank: 0, worldSize: 1 };
  assert.equal([...createSampler('sequential', options).order(0)], [0, 1, 2, 3]);
});

test.run();
