/** How many bytes of encoder outputs an evaluation on the CPU keeps, so that it encodes each protein once. */

export interface MemoryFacts {
  /** `device_config.encoder_cache_mb`. */
  readonly requestedMb: number | null;
  /** Of the machine. */
  readonly totalBytes: number;
  /** What a container may use of it; undefined or 0 where nothing says. */
  readonly constrainedBytes: number | undefined;
  /** Processes that the launcher started on this node, this one among them. */
  readonly localRanks: number;
}

/** Embeddings, weights and the page cache need the rest. */
const SHARE = 1 / 8;
const MEBIBYTE = 2 ** 20;

/** What the config asks for, or this rank's part of an eighth of the memory. */
export function encoderCacheBytes({ requestedMb, totalBytes, constrainedBytes, localRanks }: MemoryFacts): number {
  if (requestedMb !== null) return requestedMb * MEBIBYTE;
  // Without a limit, systems report one that is larger than the machine.
  const usable = constrainedBytes ? Math.min(constrainedBytes, totalBytes) : totalBytes;
  return Math.floor((usable * SHARE) / localRanks);
}
