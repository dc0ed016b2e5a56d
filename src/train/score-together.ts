/** The batches of a split scored by all ranks of a run: each takes its part, and all learn every score. */
import type { Group } from '../distributed/group.ts';
import type { Batch, Scores } from '../engine/engine.ts';
import { breathe, breatheTogether } from './interruption.ts';

/** Batches that each rank scores between two looks at whether one was asked to stop. */
const ROUNDS = 8;

/**
 * Batch i is scored by rank i modulo the number of ranks, so that it is the same batch that one rank alone would score:
 * no pair is scored twice, and the scores do not depend on how many ranks there are.
 *
 * @param batches in order, the same on every rank.
 * @returns labels and scores of every batch, in order, on every rank.
 * @throws what `score` throws; the reason to stop, on all ranks at the same batch.
 */
export async function scoreTogether(
  batches: Iterable<Batch>,
  score: (batch: Batch) => Promise<Scores>,
  group: Group,
  signal: AbortSignal | undefined,
): Promise<{ labels: Float32Array[]; scores: Scores[] }> {
  const labels: Float32Array[] = [];
  const own: Scores[] = [];
  for (const batch of batches) {
    if (labels.length % group.size === group.rank) {
      group.progress(labels.length, 'evaluate');
      own.push(await score(batch));
      await breathe(group.size === 1 ? signal : undefined);
    }
    labels.push(batch.labels);
    if (group.size > 1 && labels.length % (ROUNDS * group.size) === 0) await breatheTogether(group, signal);
  }
  if (group.size === 1) return { labels, scores: own };

  const parts = (await group.allGather('scores', packed(own))).map(floats);
  const at = parts.map(() => 0);
  const scores = labels.map(({ length }, i): Scores => {
    const rank = i % group.size;
    const start = at[rank];
    at[rank] += 2 * length;
    return {
      logits: parts[rank].subarray(start, start + length),
      lossPerPair: parts[rank].subarray(start + length, start + 2 * length),
    };
  });
  return { labels, scores };
}

/** Logits, then losses, of each batch in turn. */
function packed(scores: readonly Scores[]): Uint8Array {
  const out = new Float32Array(scores.reduce((sum, { logits }) => sum + 2 * logits.length, 0));
  let at = 0;
  for (const { logits, lossPerPair } of scores) {
    out.set(logits, at);
    out.set(lossPerPair, at + logits.length);
    at += 2 * logits.length;
  }
  return new Uint8Array(out.buffer);
}

/** A copy: bytes that came over a wire need not lie where floats may. */
function floats(bytes: Uint8Array): Float32Array {
  return new Float32Array(Uint8Array.from(bytes).buffer);
}
