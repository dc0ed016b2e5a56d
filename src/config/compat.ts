/**
 * `run_config.compat` as named switches: the one place that knows what reproducing RELIC 5f23433 means. Each entry
 * stands for one C verdict of the contract (1.3, 1.5, 1.7, 1.8). Code asks for a switch, never for the name.
 */

interface CompatEntry {
  readonly name: string;
  /** What happens with `compat: relic-5f23433`. */
  readonly original: string;
  /** What happens otherwise. */
  readonly byDefault: string;
}

export const COMPAT_TABLE = [
  {
    name: 'perSplitEmbeddingSeeds',
    original: 'synthetic embeddings of train, valid and test use seed, seed + 1 and seed + 2: a protein has three',
    byDefault: 'one embedding for each protein, from seed',
  },
  {
    name: 'legacySourceIsSynthetic',
    original: 'an embedding source such as `esm3` is not read; embeddings are synthetic',
    byDefault: 'such a source means `cache`',
  },
  {
    name: 'firstPairsSubset',
    original: '`max_samples_per_split` takes the first pairs of a file, unless `subset` is given',
    byDefault: 'it takes a seeded draw that keeps the share of positives',
  },
  {
    name: 'ohemWarmupIgnored',
    original: '`warmup_epochs` is not read: hard examples are mined from the first epoch',
    byDefault: '`warmup_epochs` is honoured',
  },
  {
    name: 'sameDropoutOnEveryRank',
    original: 'all ranks draw the same dropout masks',
    byDefault: 'each rank has a stream of its own',
  },
  {
    name: 'restartOnUnfreeze',
    original: 'unfreezing makes a new optimizer and restarts OneCycle with its full length',
    byDefault: 'the schedule continues, and parameters already in training keep their moments',
  },
  {
    name: 'validationLossByBatch',
    original: 'the validation loss is the mean of batch means',
    byDefault: 'it is the mean over pairs',
  },
  {
    name: 'trainLossOfRankZero',
    original: 'the train loss is the one rank 0 saw',
    byDefault: 'it is the mean over all ranks',
  },
  {
    name: 'singleClassMetricsZero',
    original: 'AUROC and AUPRC of a split with one class are 0.0',
    byDefault: 'they are undefined: an empty CSV cell and a warning',
  },
  {
    name: 'learningRateSixDecimals',
    original: 'the log shows a learning rate with six decimals, small ones as 0.000000',
    byDefault: 'it shows six significant digits',
  },
  {
    name: 'originalLogLinesOnly',
    original: 'log.log has exactly the lines of the original; further events are in events.jsonl only',
    byDefault: 'further events, such as the engine and the class balance, are in log.log as well',
  },
  {
    name: 'emptyEvaluateModelDirectory',
    original: 'evaluation makes a directory under models/ that stays empty',
    byDefault: 'it makes none',
  },
] as const satisfies readonly CompatEntry[];

export type CompatSwitch = (typeof COMPAT_TABLE)[number]['name'];
export type Compat = Readonly<Record<CompatSwitch, boolean>>;

/** The switches of a `run_config.compat` name: all on for `relic-5f23433`, all off for `none`. Frozen. */
export function resolveCompat(name: 'none' | 'relic-5f23433'): Compat {
  const on = name === 'relic-5f23433';
  return Object.freeze(
    Object.fromEntries(COMPAT_TABLE.map((entry) => [entry.name, on])) as Record<CompatSwitch, boolean>,
  );
}

/** The README's compat table, in Markdown. */
export function compatTable(): string {
  const rows = COMPAT_TABLE.map((entry) => `| ${entry.original} | ${entry.byDefault} |`);
  return ['| With `run_config.compat: relic-5f23433` | By default |', '| --- | --- |', ...rows, ''].join('\n');
}
