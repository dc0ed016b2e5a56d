/** Labels and probabilities of a whole split, with the counts that the metrics share, each made once when asked for. */
import { RelicError } from '../errors.ts';

export interface ScoreInput {
  /** 1 is positive; 0 is negative. */
  readonly labels: Float32Array;
  /** As many probabilities of the positive class. */
  readonly probabilities: Float32Array | Float64Array;
  /** A pair is called positive when its probability is at least this. */
  readonly threshold: number;
}

/** Pairs by call and label at the threshold. */
export interface Confusion {
  readonly truePositives: number;
  readonly falsePositives: number;
  readonly trueNegatives: number;
  readonly falseNegatives: number;
}

/** One entry for each distinct probability, from high to low: the pairs at or above it, by label. */
export interface ThresholdCurve {
  readonly thresholds: Float64Array;
  readonly truePositives: Float64Array;
  readonly falsePositives: Float64Array;
}

export class Scores {
  readonly positives: number;
  readonly negatives: number;
  private readonly input: ScoreInput;
  private madeConfusion: Confusion | undefined;
  private madeCurve: ThresholdCurve | undefined;

  /**
   * @throws RELIC_PAIRS_EMPTY without a pair, RELIC_BATCH_INVALID when the lengths differ, RELIC_NOT_FINITE when a
   * probability is NaN or infinite.
   */
  constructor(input: ScoreInput) {
    const { labels, probabilities } = input;
    if (labels.length !== probabilities.length) {
      throw new RelicError('RELIC_BATCH_INVALID', 'labels and probabilities', {
        expected: `${labels.length} probabilities, one a label`,
        received: String(probabilities.length),
      });
    }
    if (labels.length === 0) throw new RelicError('RELIC_PAIRS_EMPTY', 'metrics need at least one scored pair');
    const bad = probabilities.findIndex((probability) => !Number.isFinite(probability));
    if (bad !== -1) {
      throw new RelicError('RELIC_NOT_FINITE', 'predicted probability', {
        expected: 'a finite number',
        received: String(probabilities[bad]),
        where: `pair ${bad + 1} of ${labels.length}`,
        fix: 'the model has diverged: lower the learning rate, or start from an earlier checkpoint',
      });
    }
    this.input = input;
    this.positives = labels.reduce((count, label) => count + (label === 1 ? 1 : 0), 0);
    this.negatives = labels.length - this.positives;
  }

  /** Whether both classes are present; without them a ranking metric is undefined. */
  get hasBothClasses(): boolean {
    return this.positives > 0 && this.negatives > 0;
  }

  get confusion(): Confusion {
    this.madeConfusion ??= this.countConfusion();
    return this.madeConfusion;
  }

  get curve(): ThresholdCurve {
    this.madeCurve ??= this.traceCurve();
    return this.madeCurve;
  }

  private countConfusion(): Confusion {
    const { labels, probabilities, threshold } = this.input;
    let truePositives = 0;
    let falsePositives = 0;
    for (let i = 0; i < labels.length; i++) {
      if (probabilities[i] < threshold) continue;
      if (labels[i] === 1) truePositives++;
      else falsePositives++;
    }
    return {
      truePositives,
      falsePositives,
      trueNegatives: this.negatives - falsePositives,
      falseNegatives: this.positives - truePositives,
    };
  }

  /** Sorts each class by itself, so that plain numeric sorts suffice, then walks both from the top. */
  private traceCurve(): ThresholdCurve {
    const positive = this.sorted(1, this.positives);
    const negative = this.sorted(0, this.negatives);
    const thresholds = new Float64Array(positive.length + negative.length);
    const truePositives = new Float64Array(thresholds.length);
    const falsePositives = new Float64Array(thresholds.length);
    let [p, n, count] = [positive.length, negative.length, 0];
    while (p > 0 || n > 0) {
      const threshold = Math.max(p > 0 ? positive[p - 1] : -Infinity, n > 0 ? negative[n - 1] : -Infinity);
      while (p > 0 && positive[p - 1] === threshold) p--;
      while (n > 0 && negative[n - 1] === threshold) n--;
      thresholds[count] = threshold;
      truePositives[count] = positive.length - p;
      falsePositives[count] = negative.length - n;
      count++;
    }
    return {
      thresholds: thresholds.subarray(0, count),
      truePositives: truePositives.subarray(0, count),
      falsePositives: falsePositives.subarray(0, count),
    };
  }

  /** The probabilities of one class, from low to high. */
  private sorted(label: 0 | 1, count: number): Float64Array {
    const { labels, probabilities } = this.input;
    const out = new Float64Array(count);
    let filled = 0;
    for (let i = 0; i < labels.length; i++) if ((labels[i] === 1) === (label === 1)) out[filled++] = probabilities[i];
    return out.sort();
  }
}

/** part / whole, and 0 where nothing was counted: scikit-learn's `zero_division=0`. */
export function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
