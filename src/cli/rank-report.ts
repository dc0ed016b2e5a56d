/** What this rank sees of its run, a line each, for `doctor --ranks`. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { discoverRank } from '../distributed/discovery.ts';
import type { Meeting, RankFlags, RankPlace } from '../distributed/place.ts';
import { threadsHere } from '../engine/select.ts';
import { RelicError } from '../errors.ts';

export interface RankReport {
  /** Each begins with the rank: ranks write to one terminal at once. */
  readonly lines: readonly string[];
  /** Why a run would not start. */
  readonly error: RelicError | null;
}

export function reportRank(flags: RankFlags | null): RankReport {
  const place = discovered(flags);
  const label = place instanceof RelicError ? 'rank ?' : `rank ${place.rank} of ${place.size}`;
  const facts = place instanceof RelicError ? [`contradiction: ${place.message.split('\n')[0]}`] : placeInWords(place);
  const { threads, reason } = threadsHere(null, place instanceof RelicError ? undefined : place.localSize);
  const lines = [
    ...facts,
    `process: ${process.pid} on ${hostname()}`,
    `CPUs allowed: ${allowedCpus()}`,
    `threads: ${threads} (${reason})`,
  ];
  return { lines: lines.map((line) => `[${label}] ${line}`), error: place instanceof RelicError ? place : null };
}

function discovered(flags: RankFlags | null): RankPlace | RelicError {
  try {
    return discoverRank(flags);
  } catch (error) {
    if (error instanceof RelicError) return error;
    throw error;
  }
}

function placeInWords(place: RankPlace): string[] {
  const unknown = place.meeting.kind === 'pmi' ? 'the launcher is asked for it' : 'chosen by rank 0';
  return [
    `source: ${place.source}`,
    `on this node: rank ${place.localRank} of ${place.localSize}`,
    `run id: ${place.runId ?? unknown}`,
    `meeting: ${meetingInWords(place.meeting)}`,
    ...place.others.map((other) => `also there: ${other}`),
  ];
}

function meetingInWords(meeting: Meeting): string {
  const at = 'port' in meeting && meeting.port !== null ? `, port ${meeting.port}` : '';
  switch (meeting.kind) {
    case 'alone':
      return 'none, there is one rank';
    case 'address':
      return `rank 0 listens on ${meeting.host}${at}`;
    case 'file':
      return `by a file of rank 0 in ${meeting.directory}`;
    case 'local':
      return `by a file of rank 0 in this machine's folder for temporary files${at}`;
    case 'pmi':
      return `over the launcher (PMI)${at}`;
    case 'slurm':
      return `rank 0 listens on the first node of ${meeting.nodes}${at}`;
    case 'mpi':
      return `by a broadcast of MPI${at}`;
  }
}

/** As Linux lists them: `0-3,8`. */
function allowedCpus(): string {
  try {
    const [, list] = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
    return list ?? 'not known';
  } catch {
    return 'not known';
  }
}
