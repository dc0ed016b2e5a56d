/** Which epoch is best, and when training has gone long enough without a better one (contract 1.7). */

export interface EpochVerdict {
  /** Strictly better than every epoch before; the first epoch with a defined value is. */
  readonly improved: boolean;
  /** As many epochs without improvement as the patience allows have passed. */
  readonly stop: boolean;
}

export interface EarlyStoppingState {
  /** Null before an epoch with a defined value. */
  readonly best: number | null;
  /** Epochs without improvement since. */
  readonly misses: number;
}

export class EarlyStopping {
  private readonly sign: 1 | -1;
  private readonly patience: number;
  private best: number | null = null;
  private misses = 0;

  /** @param patience epochs without improvement after which training stops; 0 or less stops after the first epoch. */
  constructor(better: 'higher' | 'lower', patience: number) {
    this.sign = better === 'higher' ? 1 : -1;
    this.patience = patience;
  }

  state(): EarlyStoppingState {
    return { best: this.best, misses: this.misses };
  }

  restore({ best, misses }: EarlyStoppingState): void {
    this.best = best;
    this.misses = misses;
  }

  /** @param value of this epoch's monitored metric; NaN (undefined) never improves. */
  update(value: number): EpochVerdict {
    const improved = this.sign * value > (this.best === null ? -Infinity : this.sign * this.best);
    if (improved) this.best = value;
    this.misses = improved ? 0 : this.misses + 1;
    return { improved, stop: this.misses >= this.patience };
  }
}
