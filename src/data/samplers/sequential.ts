import { drawBaseSeed, type SamplerFactory } from '../sampler.ts';

/** Pairs as they stand in the file: `DataLoader(shuffle=False)`. */
export const sequential: SamplerFactory = ({ length, generator }) => ({
  order() {
    drawBaseSeed(generator);
    return Int32Array.from({ length }, (_, i) => i);
  },
});
