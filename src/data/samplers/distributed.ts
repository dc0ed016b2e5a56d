import { TorchGenerator } from '../../random/torch-generator.ts';
import { drawBaseSeed, type SamplerFactory } from '../sampler.ts';

/**
 * This rank's share of a permutation that all ranks know: `DistributedSampler(shuffle=True)`, seeded by seed + epoch.
 * The permutation repeats from its start until its length is a multiple of the world size, so all shares are equal.
 */
export const distributed: SamplerFactory = ({ length, generator, seed, rank, worldSize }) => ({
  order(epoch) {
    drawBaseSeed(generator);
    const permutation = new TorchGenerator(seed + epoch).randperm(length);
    return Int32Array.from(
      { length: Math.ceil(length / worldSize) },
      (_, i) => permutation[(rank + i * worldSize) % length],
    );
  },
});
