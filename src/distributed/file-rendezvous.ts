/**
 * Rank 0 tells where it listens by a file in a folder that all ranks share, named after the run. A file that a dead run
 * left behind, even one of the same name, must not be believed, and clocks of different machines cannot tell: so rank 0
 * writes the file again and again with a growing number, and the others believe it once they saw the number grow. A nonce
 * tells whether it is still the same rank 0 that writes.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { ensureDirectory, removeQuietly, writeFileAtomic } from '../artifacts/files.ts';
import { RelicError } from '../errors.ts';
import type { Deadline } from './deadline.ts';

const BEAT_MS = 200;
const POLL_MS = 50;

/** What the file says, as JSON. */
interface Announcement extends Address {
  readonly runId: string;
  readonly nonce: string;
  readonly beat: number;
  /** Machine and process that wrote it, for people. */
  readonly by: string;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

export function rendezvousPath(directory: string, runId: string): string {
  return join(directory, `rdzv.${encodeURIComponent(runId)}`);
}

/**
 * Announces rank 0's address until the function that it returns is called, which removes the file.
 * @param onTrouble told, once, when the file cannot be written any more, or another process writes it too.
 * @throws RelicError RELIC_NO_SPACE, RELIC_NOT_WRITABLE, RELIC_IO
 */
export function announce(
  directory: string,
  runId: string,
  address: Address,
  onTrouble: (error: RelicError) => void,
): () => void {
  ensureDirectory(directory);
  const path = rendezvousPath(directory, runId);
  const nonce = randomBytes(16).toString('hex');
  const by = `process ${process.pid} on ${hostname()}`;
  let beat = 0;
  const write = () => {
    writeFileAtomic(path, `${JSON.stringify({ runId, ...address, nonce, beat: beat++, by } satisfies Announcement)}\n`);
  };
  write();
  const timer = setInterval(() => {
    try {
      const there = read(path);
      if (there !== undefined && there.nonce !== nonce) throw secondRankZero(path, by, there.by);
      write();
    } catch (error) {
      clearInterval(timer);
      if (!(error instanceof RelicError)) throw error;
      onTrouble(error);
    }
  }, BEAT_MS);
  timer.unref();
  return () => {
    clearInterval(timer);
    if (read(path)?.nonce === nonce) removeQuietly(path);
  };
}

/**
 * Waits for the address that a living rank 0 announces.
 * @param who waits, for the error: `rank 1 of 2`.
 * @throws RelicError RELIC_RANKS at the deadline
 */
export async function awaitAnnouncement(
  directory: string,
  runId: string,
  who: string,
  deadline: Deadline,
): Promise<Address> {
  const path = rendezvousPath(directory, runId);
  let first: Announcement | undefined;
  let waiting = `${who} waited for rank 0 to write ${path}`;
  while (!deadline.passed) {
    const seen = read(path);
    if (seen?.runId === runId) {
      if (first?.nonce === seen.nonce && seen.beat > first.beat) return { host: seen.host, port: seen.port };
      if (first?.nonce !== seen.nonce) first = seen;
      waiting = `${who} waited for rank 0, but ${path} is of an earlier run (${seen.by}), which does not write it any more`;
    }
    await pause(POLL_MS);
  }
  throw deadline.error(waiting, 'see whether rank 0 was started and whether all ranks share the folder');
}

/** Undefined where there is no such file, or no such announcement in it. */
function read(path: string): Announcement | undefined {
  try {
    const { runId, host, port, nonce, beat, by } = JSON.parse(readFileSync(path, 'utf8')) as Partial<Announcement>;
    if (typeof runId !== 'string' || typeof host !== 'string' || typeof nonce !== 'string') return undefined;
    if (!Number.isInteger(port) || !Number.isInteger(beat)) return undefined;
    return { runId, host, port: Number(port), nonce, beat: Number(beat), by: String(by) };
  } catch {
    // Not there yet, being replaced on a network file system, or no JSON: all the same to one who waits.
    return undefined;
  }
}

function secondRankZero(path: string, mine: string, other: string): RelicError {
  return new RelicError('RELIC_RANKS', 'two processes are rank 0 of the same run', {
    where: path,
    received: `${mine} and ${other}`,
    fix: 'give each process a rank of its own (an exported RANK may be stale), and each run an id of its own',
  });
}
