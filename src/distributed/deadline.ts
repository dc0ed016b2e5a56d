/** The one deadline that all waiting of a rendezvous shares. */
import { RelicError } from '../errors.ts';

export class Deadline {
  private readonly end: number;
  private readonly seconds: number;

  constructor(milliseconds: number) {
    this.end = performance.now() + milliseconds;
    this.seconds = milliseconds / 1000;
  }

  get passed(): boolean {
    return this.left <= 0;
  }

  /** Milliseconds. */
  private get left(): number {
    return this.end - performance.now();
  }

  /**
   * What `work` gives, if it does so in time.
   * @param waiting who waits for what: `rank 1 waited for the file F of rank 0`.
   * @throws RelicError RELIC_RANKS once the deadline has passed
   */
  async race<T>(work: Promise<T>, waiting: string, fix: string): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(this.error(waiting, fix)), Math.max(0, this.left));
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  error(waiting: string, fix: string): RelicError {
    return new RelicError('RELIC_RANKS', `${waiting}: nothing came in ${this.seconds} s`, {
      fix: `${fix}; more time: --rdzv-timeout or RELIC_RDZV_TIMEOUT, in seconds`,
    });
  }
}
