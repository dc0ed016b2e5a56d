import { TorchGenerator } from '../../random/torch-generator.ts';
import { drawBaseSeed, type SamplerFactory } from '../sampler.ts';

/** A new permutation each epoch, seeded from the global generator: `DataLoader(shuffle=True)`. */
export const shuffle: SamplerFactory = ({ length, generator }) => ({
  order() {
    drawBaseSeed(generator);
    return new TorchGenerator(generator.random64()).randperm(length);
  },
});
