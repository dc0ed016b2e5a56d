/** Which rank this process is: the first complete source counts, an incomplete or contradictory one is an error. */
import { type Launchers, readLaunchers } from '../env.ts';
import { RelicError } from '../errors.ts';
import type { RankFlags, RankPlace } from './place.ts';
import { type Found, SOURCES } from './sources.ts';

/**
 * The place of this process among the ranks of its run; rank 0 of 1 where nothing speaks of ranks.
 * @param flags of the command line, before everything else.
 * @throws RelicError RELIC_RANKS where the best source is incomplete, or contradicts the next best
 */
export function discoverRank(flags: RankFlags | null = null, launchers: Launchers = readLaunchers()): RankPlace {
  for (const [i, source] of SOURCES.entries()) {
    const found = source(launchers, flags);
    if (found === null) continue;
    const { mayBeStale, undo: _undo, ...place } = found;
    const others = SOURCES.slice(i + 1).map((other) => attempt(() => other(launchers, null)));
    const next = others.find((other) => other !== null && !(other instanceof RelicError));
    if (found.mayBeStale && next !== undefined) assertAgreement(found, next as Found);
    return { ...place, launched: !mayBeStale, others: others.filter((other) => other !== null).map(inWords) };
  }
  return {
    ...{ rank: 0, size: 1, localRank: 0, localSize: 1 },
    source: 'no launcher',
    launched: false,
    runId: null,
    meeting: { kind: 'alone' },
    others: [],
  };
}

/**
 * Options and exported variables stay behind when a run ends. More ranks than the launcher started are no contradiction:
 * each of its processes may have started several.
 */
function assertAgreement(found: Found, launcher: Found): void {
  if (found.size > launcher.size || (found.size === launcher.size && found.rank === launcher.rank)) return;
  throw new RelicError('RELIC_RANKS', `${found.source} and ${launcher.source} contradict each other`, {
    expected: `rank ${launcher.rank} of ${launcher.size}, as ${launcher.source} says`,
    received: `rank ${found.rank} of ${found.size} from ${found.source}, perhaps left behind by another run`,
    fix: `${found.undo}, or start without ${launcher.source}`,
  });
}

function attempt(source: () => Found | null): Found | RelicError | null {
  try {
    return source();
  } catch (error) {
    if (error instanceof RelicError) return error;
    throw error;
  }
}

function inWords(other: Found | RelicError): string {
  if (other instanceof RelicError) return other.message.split('\n')[0];
  return `${other.source}: rank ${other.rank} of ${other.size}`;
}
