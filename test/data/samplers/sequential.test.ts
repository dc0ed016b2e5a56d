import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { sequential } from '../../../src/data/samplers/sequential.ts';
import { TorchGenerator } from '../../../src/random/torch-generator.ts';

const test = suite('sequential');

test('keeps the file order and takes the base seed of the loader, two words, each epoch', () => {
  const generator = new TorchGenerator(5);
  const sampler = sequential({ length: 3, generator, seed: 0, rank: 0, worldSize: 1 });
  assert.equal([...sampler.order(0)], [0, 1, 2]);
  assert.equal([...sampler.order(1)], [0, 1, 2]);
  const twin = new TorchGenerator(5);
  for (let word = 0; word < 4; word++) twin.random32();
  assert.is(generator.random32(), twin.random32());
});

test.run();
