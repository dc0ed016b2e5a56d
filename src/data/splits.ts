/** The names of the three splits. */
import type { PairFile } from './pairs.ts';

/** In the order in which RELIC seeds and logs them. */
export const SPLITS = ['train', 'valid', 'test'] as const;
export type SplitName = (typeof SPLITS)[number];

/** The pair file of each split. */
export type PairFiles = Readonly<Record<SplitName, PairFile>>;
