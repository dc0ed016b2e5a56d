/** The options of a simulated interactome, their defaults and what they must obey. */
import { RelicError } from '../errors.ts';

export interface SimulateOptions {
  readonly proteins: number;
  /** Pairs of the three splits together; even, as half of each split interact. */
  readonly pairs: number;
  /** Number of domain families. */
  readonly domains: number;
  /** An integer of 32 bits. */
  readonly seed: number;
  /** True: no protein is in two splits. False: only no pair is. */
  readonly disjoint: boolean;
  /** Residues of the shortest protein; two domains must fit. */
  readonly minLength: number;
  readonly maxLength: number;
  /** Share of the training pairs whose label is flipped, as many of either label; valid and test stay clean. */
  readonly noise: number;
}

export const SIMULATE_DEFAULTS: SimulateOptions = {
  proteins: 120,
  pairs: 2400,
  domains: 6,
  seed: 47,
  disjoint: false,
  minLength: 24,
  maxLength: 48,
  noise: 0,
};

/** Residues of a domain's motif. */
export const MOTIF_MIN = 10;
export const MOTIF_MAX = 12;

/** Shares of the pairs in train, valid and test. */
export const SPLIT_SHARES = [0.7, 0.1, 0.2] as const;

/** All pairs of proteins are looked at: 8 million of them for this many. */
const MAX_PROTEINS = 4000;
const MAX_LENGTH = 10_000;
/** Distinct motifs without a bias in hydropathy are few. */
const MAX_DOMAINS = 40;
/** Half the fewest pairs: one of either label in each split. */
const MIN_HALF = 3;

/** Pairs of one label in train, valid and test, of `half` in all. */
export function splitCounts(half: number): readonly [number, number, number] {
  const valid = Math.max(1, Math.round(half * SPLIT_SHARES[1]));
  const test = Math.max(1, Math.round(half * SPLIT_SHARES[2]));
  return [half - valid - test, valid, test];
}

/** @throws RelicError RELIC_USAGE naming the option and the range that would work. */
export function checkSimulateOptions(options: SimulateOptions): void {
  integer('proteins', options.proteins, 4, MAX_PROTEINS);
  const mostDomains = Math.min(MAX_DOMAINS, Math.floor(options.proteins / 2));
  integer('domains', options.domains, 2, mostDomains, { most: `half the proteins, at most ${MAX_DOMAINS}` });
  integer('min_length', options.minLength, 2 * MOTIF_MAX, MAX_LENGTH, { least: 'room for two domains' });
  integer('max_length', options.maxLength, options.minLength, MAX_LENGTH, { least: 'min_length' });
  integer('seed', options.seed, 0, 2 ** 32 - 1);
  integer('pairs', options.pairs, 2 * MIN_HALF, Number.MAX_SAFE_INTEGER);
  if (options.pairs % 2 !== 0) {
    refuse('pairs', 'an even number, as half of the pairs interact', options.pairs, `use ${options.pairs - 1}`);
  }
  if (!(options.noise >= 0 && options.noise < 0.5)) {
    refuse('noise', 'at least 0 and below 0.5', options.noise, 'use 0 for clean labels, 0.1 to flip one in ten');
  }
}

/**
 * Whether there are pairs enough of either label.
 * @param pools one for all splits, or one each for train, valid and test; `totals` counts the pairs of either label.
 * @throws RelicError RELIC_USAGE with the largest number of pairs that would work.
 */
export function checkPairs(
  options: SimulateOptions,
  pools: readonly { readonly totals: readonly [number, number] }[],
): void {
  const limits = pools.map(({ totals }) => Math.min(...totals));
  const fits = (half: number) =>
    limits.length === 1 ? half <= limits[0] : splitCounts(half).every((count, split) => count <= limits[split]);
  if (fits(options.pairs / 2)) return;
  let most = limits.reduce((sum, limit) => sum + limit, 0);
  while (most >= MIN_HALF && !fits(most)) most--;
  const where = `${options.disjoint ? 'protein-disjoint splits of ' : ''}${options.proteins} proteins with ${options.domains} domain families`;
  if (most < MIN_HALF) refuse('proteins', `enough for any pairs in ${where}`, options.proteins, 'use more proteins');
  refuse('pairs', `at most ${2 * most} for ${where}`, options.pairs, `use ${2 * most} or fewer, or more proteins`);
}

function integer(
  name: string,
  value: number,
  least: number,
  most: number,
  reasons: { readonly least?: string; readonly most?: string } = {},
): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  const reason = (text: string | undefined) => (text === undefined ? '' : ` (${text})`);
  const expected = `an integer from ${least}${reason(reasons.least)} to ${most}${reason(reasons.most)}`;
  refuse(name, expected, value, value > most ? `use ${most} or less` : `use ${least} or more`);
}

function refuse(name: string, expected: string, received: number, fix: string): never {
  throw new RelicError('RELIC_USAGE', `simulate: ${name} cannot be used`, {
    expected,
    received: String(received),
    fix,
  });
}
