/** The ranks of a run as the pipeline sees them: which one this is, and how all of them come to agree. */
import { deserialize, serialize } from 'node:v8';

/** Every rank makes the same calls in the same order. */
export interface Group {
  readonly rank: number;
  readonly size: number;
  /** This process among those of its node, from 0. */
  readonly localRank: number;
  /**
   * The bytes of every rank, in rank order.
   * @param what tells the calls apart in error messages.
   */
  allGather(what: string, bytes: Uint8Array): Promise<Uint8Array[]>;
  /** The bytes of rank 0, on every rank; the others give null. */
  broadcast(what: string, bytes: Uint8Array | null): Promise<Uint8Array>;
  /** Tells the watchdog how far this rank is. */
  progress(step: number, what: string): void;
}

/** A run of one process. */
export const ALONE: Group = {
  rank: 0,
  size: 1,
  localRank: 0,
  allGather: async (_what, bytes) => [bytes],
  broadcast: async (_what, bytes) => bytes ?? new Uint8Array(0),
  progress() {},
};

/** Whether this rank writes: logs, CSV files, checkpoints and manifests are those of rank 0 alone. */
export function isFirst({ rank }: Group): boolean {
  return rank === 0;
}

/**
 * What rank 0 makes, on every rank: plain data, maps, sets, dates and typed arrays.
 * @param make runs on rank 0 alone; what it throws ends that rank, and with it the others.
 */
export async function fromFirst<T>(group: Group, what: string, make: () => T | Promise<T>): Promise<T> {
  if (group.size === 1) return make();
  if (isFirst(group)) {
    const value = await make();
    await group.broadcast(what, serialize(value));
    return value;
  }
  return deserialize(await group.broadcast(what, null));
}

/** Returns when every rank is here. */
export async function barrier(group: Group, what: string): Promise<void> {
  if (group.size > 1) await group.allGather(what, new Uint8Array(0));
}

/** One text of every rank, in rank order. */
export async function allGatherText(group: Group, what: string, text: string): Promise<string[]> {
  const all = await group.allGather(what, new TextEncoder().encode(text));
  return all.map((bytes) => new TextDecoder().decode(bytes));
}
