import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { distributed } from '../../../src/data/samplers/distributed.ts';
import { TorchGenerator } from '../../../src/random/torch-generator.ts';

function shards(length: number, worldSize: number, { seed = 47, epoch = 2 } = {}): number[][] {
  return Array.from({ length: worldSize }, (_, rank) => {
    const sampler = distributed({ length, generator: new TorchGenerator(0), seed, rank, worldSize });
    return [...sampler.order(epoch)];
  });
}

const test = suite('distributed');

test("equals torch's DistributedSampler(seed=47) after set_epoch(2)", () => {
  assert.equal(shards(10, 3), [
    [0, 5, 8, 6],
    [3, 4, 1, 0],
    [2, 7, 9, 3],
  ]);
  assert.equal(shards(7, 7), [[2], [6], [4], [0], [3], [5], [1]]);
});

test('repeats as often as needed when there are more ranks than pairs', () => {
  assert.equal(shards(2, 5), [[0], [1], [0], [1], [0]]);
  assert.equal(shards(1, 4), [[0], [0], [0], [0]]);
});

test('the loader still takes its base seed from the global generator (values of torch, seed 5)', () => {
  const generator = new TorchGenerator(5);
  distributed({ length: 10, generator, seed: 47, rank: 1, worldSize: 2 }).order(0);
  const next = new Float32Array(1);
  generator.uniform(next);
  assert.is(next[0], 0.9074696898460388);
});

test('shards interleave to the padded permutation: equal lengths, each pair once, the first few twice', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 8 }), fc.nat(99), (length, world, epoch) => {
      const parts = shards(length, world, { epoch });
      const share = Math.ceil(length / world);
      assert.ok(parts.every((part) => part.length === share));
      const joined = Array.from({ length: share * world }, (_, i) => parts[i % world][Math.floor(i / world)]);
      assert.equal(
        [...joined.slice(0, length)].sort((a, b) => a - b),
        [...Array(length).keys()],
      );
      for (let i = length; i < joined.length; i++) assert.is(joined[i], joined[i - length]);
    }),
  );
});

test('another epoch or seed is another order', () => {
  const [base, next] = [shards(50, 1), shards(50, 1, { epoch: 3 })];
  assert.not.equal(next, base);
  assert.equal(shards(50, 1, { seed: 48, epoch: 1 }), base);
});

test.run();
