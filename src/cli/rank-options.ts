/** The options by which a process is told its rank, for ranks that no launcher started. */
import type { RankFlags, Rendezvous } from '../distributed/place.ts';
import { RelicError, shown } from '../errors.ts';
import type { Options, Values } from './options.ts';

export const RANK_OPTIONS = {
  rank: { type: 'integer', value: 'R', description: 'this process among the ranks of the run, from 0' },
  'world-size': { type: 'integer', value: 'N', minimum: 1, description: 'ranks of the run; with --rank' },
  'local-rank': { type: 'integer', value: 'L', description: 'this process among the ranks of its machine' },
  rdzv: {
    type: 'text',
    value: 'HOST:PORT|file:DIR',
    description: 'where the ranks meet: at rank 0, or in a folder that all share',
  },
  'rdzv-id': { type: 'text', value: 'ID', description: 'id of the run, the same on all ranks; required with file:DIR' },
  'rdzv-timeout': {
    type: 'integer',
    value: 'SECONDS',
    minimum: 1,
    description: 'time that the ranks have to find each other (120)',
  },
} as const satisfies Options;

type RankValues = Values<typeof RANK_OPTIONS>;

/**
 * Null where no rank is given.
 * @throws RelicError RELIC_USAGE for options that lack others or contradict each other
 */
export function rankFlags(values: RankValues): RankFlags | null {
  const { rank, 'world-size': size, 'local-rank': localRank, rdzv, 'rdzv-id': runId } = values;
  if (rank === undefined && size === undefined) {
    const lonely = (['local-rank', 'rdzv', 'rdzv-id'] as const).find((name) => values[name] !== undefined);
    if (lonely !== undefined) throw usage(`--${lonely} needs --rank and --world-size`);
    return null;
  }
  if (rank === undefined) throw usage('--world-size needs --rank');
  if (size === undefined) throw usage('--rank needs --world-size');
  if (rank >= size) throw usage('--rank', `an integer below --world-size ${size}`, shown(rank));
  if (localRank !== undefined && localRank >= size) {
    throw usage('--local-rank', `an integer below --world-size ${size}`, shown(localRank));
  }
  if (size > 1 && rdzv === undefined) throw usage(`--world-size ${size} needs --rdzv`);
  const rendezvous = rdzv === undefined ? null : meetingPlace(rdzv);
  if (rendezvous?.kind === 'file' && runId === undefined) {
    throw usage('--rdzv file:DIR needs --rdzv-id, another one for each run');
  }
  return {
    rank,
    size,
    localRank: localRank ?? null,
    rendezvous: size === 1 ? null : rendezvous,
    runId: runId ?? null,
  };
}

function meetingPlace(text: string): Rendezvous {
  const [, directory] = /^file:(.+)$/.exec(text) ?? [];
  if (directory !== undefined) return { kind: 'file', directory };
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text) ?? [];
  const port = Number(digits);
  if (port >= 1 && port <= 65535) return { kind: 'address', host: bracketed ?? plain, port };
  throw usage('--rdzv', 'HOST:PORT with a port from 1 to 65535, or file:DIR', shown(text));
}

function usage(subject: string, expected?: string, received?: string): RelicError {
  return new RelicError('RELIC_USAGE', subject, {
    ...(expected === undefined ? {} : { expected }),
    ...(received === undefined ? {} : { received }),
    fix: 'see relic-train train --help',
  });
}
