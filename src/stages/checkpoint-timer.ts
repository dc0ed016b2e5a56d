/** `run_config.checkpoint_every`: when the next checkpoint is due. */
import { RelicError, shown } from '../errors.ts';
import type { CheckpointMoment } from '../train/state.ts';

type Unit = 'step' | 'epoch' | 'second' | 'minute' | 'hour';

const MILLISECONDS = { second: 1000, minute: 60_000, hour: 3_600_000 } as const;

export class CheckpointTimer {
  private readonly count: number;
  private readonly unit: Unit;
  private readonly clock: () => number;
  private savedAt: number;
  /** Steps or epochs since the last checkpoint. */
  private passed = 0;

  /**
   * @param every as in `500 steps`, `10 minutes` or `1 epoch`.
   * @param clock milliseconds from any start.
   * @throws RELIC_CONFIG_INVALID for a text of another form, which the config's own check lets no file have.
   */
  constructor(every: string, clock: () => number = () => performance.now()) {
    const [, count, unit] = /^(\d+) +(step|epoch|second|minute|hour)s?$/.exec(every) ?? [];
    if (unit === undefined || Number(count) < 1)
      throw new RelicError('RELIC_CONFIG_INVALID', 'run_config.checkpoint_every', { received: shown(every) });
    this.count = Number(count);
    this.unit = unit as Unit;
    this.clock = clock;
    this.savedAt = clock();
  }

  /** Whether to save now; to be asked at every moment, once. The end and a request to stop always save. */
  isDue(moment: CheckpointMoment): boolean {
    if (moment === this.unit) this.passed++;
    const due = moment === 'end' || moment === 'interruption' || this.hasPassed(moment);
    if (due) {
      this.passed = 0;
      this.savedAt = this.clock();
    }
    return due;
  }

  private hasPassed(moment: CheckpointMoment): boolean {
    if (this.unit === 'step' || this.unit === 'epoch') return moment === this.unit && this.passed >= this.count;
    return this.clock() - this.savedAt >= this.count * MILLISECONDS[this.unit];
  }
}
