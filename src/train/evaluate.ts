/** Scores a whole split: logits, probabilities, loss and metrics. */
import { ALONE, type Group } from '../distributed/group.ts';
import type { Batch, EngineModel, Scores } from '../engine/engine.ts';
import { computeMetrics } from '../metrics/registry.ts';
import { scoreTogether } from './score-together.ts';

export interface EvaluateOptions {
  readonly model: Pick<EngineModel, 'evaluate' | 'synchronize'>;
  /** The split, in order; the same on every rank. */
  readonly batches: Iterable<Batch>;
  /** Names of the metrics to compute. */
  readonly metrics: readonly string[];
  /** A pair counts as positive from this probability on. */
  readonly threshold: number;
  /** Score each pair as the mean logit of f(A, B) and f(B, A); its loss is then the mean of both losses. */
  readonly orderAveraged: boolean;
  /** The loss is the mean of batch means rather than the mean over pairs (contract 1.8). */
  readonly lossByBatch: boolean;
  /** A metric that is undefined because the split has one class is 0 rather than null (contract 1.8). */
  readonly undefinedAsZero: boolean;
  readonly signal?: AbortSignal | undefined;
  /** The processes that share the batches; this one alone unless given. */
  readonly group?: Group | undefined;
}

/** All arrays are (pairs), in the order of the batches. */
export interface Evaluation {
  readonly labels: Float32Array;
  readonly logits: Float32Array;
  readonly probabilities: Float32Array;
  readonly loss: number;
  /** By name, in the order asked for; null where undefined. */
  readonly metrics: ReadonlyMap<string, number | null>;
}

/**
 * The same on every rank, and the same as one rank alone makes of it.
 *
 * @throws RELIC_NOT_FINITE when a score is NaN or infinite, RELIC_PAIRS_EMPTY without a pair, RELIC_INTERRUPTED.
 */
export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
  const { model, group = ALONE, signal } = options;
  if (group.size > 1) await model.synchronize?.('buffers');
  const scoreBatch = (batch: Batch): Promise<Scores> =>
    options.orderAveraged ? bothOrders(model, batch) : model.evaluate(batch);
  const { labels, scores } = await scoreTogether(options.batches, scoreBatch, group, signal);
  const loss = new MeanLoss(options.lossByBatch);
  for (const { lossPerPair } of scores) {
    loss.add(
      lossPerPair.reduce((sum, value) => sum + value, 0),
      lossPerPair.length,
    );
  }
  const joined = { labels: concatenate(labels), logits: concatenate(scores.map(({ logits }) => logits)) };
  const probabilities = joined.logits.map(sigmoid);
  const computed = computeMetrics(options.metrics, {
    labels: joined.labels,
    probabilities,
    threshold: options.threshold,
  });
  const metrics = new Map(
    Array.from(computed, ([name, value]) => [name, value ?? (options.undefinedAsZero ? 0 : null)]),
  );
  return { ...joined, probabilities, loss: loss.value, metrics };
}

/** What a {@link MeanLoss} has added up. */
export interface LossTotals {
  readonly sum: number;
  readonly count: number;
}

/** A mean of losses over pairs, or of batch means. */
export class MeanLoss {
  private readonly byBatch: boolean;
  private sum: number;
  private count: number;

  /** @param from totals to go on from. */
  constructor(byBatch: boolean, from: LossTotals = { sum: 0, count: 0 }) {
    this.byBatch = byBatch;
    this.sum = from.sum;
    this.count = from.count;
  }

  totals(): LossTotals {
    return { sum: this.sum, count: this.count };
  }

  add(lossSum: number, pairs: number): void {
    this.sum += this.byBatch ? Math.fround(lossSum / pairs) : lossSum;
    this.count += this.byBatch ? 1 : pairs;
  }

  get value(): number {
    return this.sum / this.count;
  }
}

async function bothOrders(model: Pick<EngineModel, 'evaluate'>, batch: Batch): Promise<Scores> {
  const forward = await model.evaluate(batch);
  const backward = await model.evaluate({ ...batch, proteinA: batch.proteinB, proteinB: batch.proteinA });
  const mean = (x: Float32Array, y: Float32Array) => x.map((value, i) => (value + y[i]) / 2);
  return {
    logits: mean(forward.logits, backward.logits),
    lossPerPair: mean(forward.lossPerPair, backward.lossPerPair),
  };
}

/** Rounded to float32 where it is stored, as torch.sigmoid's result is. */
function sigmoid(logit: number): number {
  return 1 / (1 + Math.exp(-logit));
}

function concatenate(parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
