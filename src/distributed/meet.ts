/** How the ranks of a run agree on its id and learn where rank 0's store listens. */
import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureDirectory } from '../artifacts/files.ts';
import { readEnv } from '../env.ts';
import { RelicError } from '../errors.ts';
import { ownAddress, portsOf, resolveHost } from './address.ts';
import { Deadline } from './deadline.ts';
import { type Address, announce, awaitAnnouncement } from './file-rendezvous.ts';
import { hostnames, nodeAddress } from './hostlist.ts';
import type { Meeting, RankPlace } from './place.ts';
import { Pmi } from './pmi.ts';

const DEFAULT_SECONDS = 120;
const PMI_KEY = 'relic-train-store';

export interface MeetOptions {
  /**
   * Opens rank 0's store on the first of the ports that is free, and says where.
   * @throws RelicError when it cannot
   */
  listen(host: string, ports: Iterable<number>): Promise<Address>;
  /**
   * Carries rank 0's bytes to all; other ranks give null. To be given whenever this process has initialised MPI or is
   * going to: PMI cannot be used beside it.
   */
  readonly mpiBroadcast?: (bytes: Uint8Array | null) => Promise<Uint8Array>;
  /** For all waiting together; else RELIC_RDZV_TIMEOUT, else 120 s. */
  readonly timeoutMs?: number | undefined;
  /** Told on rank 0 after it has met, when something comes up that keeps others from finding it. */
  readonly onTrouble?: (error: RelicError) => void;
}

export interface Met extends Address {
  /** The same on all ranks. A rank that was told the address may have it before rank 0 listens there. */
  readonly runId: string;
  /** To be called once no rank has to find rank 0 any more: takes back what announced it. */
  done(): void;
}

/**
 * Every rank of a run calls this once, before its first connection to the store. One rank alone listens nowhere: its
 * port is 0.
 * @throws RelicError RELIC_RANKS when the ranks do not find each other before the deadline
 */
export async function meet(place: RankPlace, options: MeetOptions): Promise<Met> {
  const seconds = readEnv().rendezvousTimeout ?? DEFAULT_SECONDS;
  const deadline = new Deadline(options.timeoutMs ?? seconds * 1000);
  const runId = place.runId ?? randomBytes(8).toString('hex');
  const { meeting } = place;
  const told = meeting.kind === 'address' || meeting.kind === 'file';
  if (meeting.kind === 'alone') return { runId, host: '127.0.0.1', port: 0, done() {} };
  if (!told && options.mpiBroadcast) return overMpi(place, runId, meeting.port, options, deadline);
  switch (meeting.kind) {
    case 'address':
      return atAddress(place, meeting, options, deadline);
    case 'slurm': {
      const host = await firstNode(meeting.nodes);
      return atAddress(place, { kind: 'address', host, port: meeting.port }, options, deadline);
    }
    case 'file':
      return overFile(place, meeting.directory, null, options, deadline);
    case 'local':
      return overFile(place, ownTemporaryDirectory(), meeting.port, options, deadline);
    case 'pmi':
      return overPmi(place, meeting, options, deadline);
    case 'mpi':
      throw new RelicError('RELIC_RANKS', `ranks of ${place.source} on several nodes need MPI to find each other`, {
        expected: 'an MPI library, or MASTER_ADDR and MASTER_PORT',
        fix: 'set MASTER_ADDR and MASTER_PORT for all ranks, or start them with srun',
      });
  }
}

async function overMpi(
  place: RankPlace,
  runId: string,
  port: number | null,
  { listen, mpiBroadcast }: MeetOptions,
  deadline: Deadline,
): Promise<Met> {
  const address = place.rank === 0 ? await listenChoosing(place, runId, port, listen) : null;
  const mine = address === null ? null : Buffer.from(JSON.stringify({ runId, ...address }));
  const bytes = await deadline.race(
    (mpiBroadcast as NonNullable<typeof mpiBroadcast>)(mine),
    `${whoIs(place)} waited for the broadcast of rank 0's address`,
    'see whether all ranks were started and use the same MPI library',
  );
  return { ...(JSON.parse(Buffer.from(bytes).toString()) as Address & { runId: string }), done() {} };
}

async function overPmi(
  place: RankPlace,
  { fd, port }: Extract<Meeting, { kind: 'pmi' }>,
  { listen }: MeetOptions,
  deadline: Deadline,
): Promise<Met> {
  const pmi = await Pmi.open(fd, whoIs(place), deadline);
  const runId = place.runId ?? pmi.spaceName;
  if (place.rank === 0) {
    const { host, port: chosen } = await listenChoosing(place, runId, port, listen);
    await pmi.put(PMI_KEY, `${chosen},${host}`);
  }
  await pmi.barrier();
  const [chosen, host] = (await pmi.get(PMI_KEY)).split(',');
  await pmi.finalize();
  return { runId, host, port: Number(chosen), done() {} };
}

async function overFile(
  place: RankPlace,
  directory: string,
  port: number | null,
  { listen, onTrouble = () => {} }: MeetOptions,
  deadline: Deadline,
): Promise<Met> {
  const runId = knownRunId(place);
  if (place.rank !== 0) {
    return { runId, ...(await awaitAnnouncement(directory, runId, whoIs(place), deadline)), done() {} };
  }
  const address = await listenChoosing(place, runId, port, listen);
  return { runId, ...address, done: announce(directory, runId, address, onTrouble) };
}

/** Nobody can be told of another port, so there is no choice. */
async function atAddress(
  place: RankPlace,
  meeting: Extract<Meeting, { kind: 'address' }>,
  { listen }: MeetOptions,
  deadline: Deadline,
): Promise<Met> {
  const runId = knownRunId(place);
  const resolved = resolveHost(meeting.host, isOneNode(place));
  const host = await deadline.race(
    resolved,
    `${whoIs(place)} looked up ${meeting.host}`,
    'give an address for the name',
  );
  const [port] = meeting.port === null ? portsOf(runId, false) : [meeting.port];
  const address = place.rank === 0 ? await listenOn(host, [port], listen) : { host, port };
  return { runId, ...address, done() {} };
}

async function listenChoosing(
  place: RankPlace,
  runId: string,
  port: number | null,
  listen: MeetOptions['listen'],
): Promise<Address> {
  return listenOn(await ownAddress(isOneNode(place)), port === null ? portsOf(runId, true) : [port], listen);
}

async function listenOn(host: string, ports: Iterable<number>, listen: MeetOptions['listen']): Promise<Address> {
  const tried = [...ports];
  try {
    return await listen(host, tried);
  } catch (error) {
    const range =
      tried.length === 1 ? `port ${tried[0]}` : `any of the ports ${tried[0]} to ${tried[tried.length - 1]}`;
    throw new RelicError('RELIC_RANKS', `rank 0 cannot listen on ${host}, ${range}`, {
      received: error instanceof Error ? error.message : String(error),
      fix: 'set MASTER_PORT to a free port (with RANK or --rdzv also see that the host is that of rank 0)',
      cause: error,
    });
  }
}

async function firstNode(nodes: string): Promise<string> {
  const [node] = await hostnames(nodes);
  return (await nodeAddress(node)) ?? node;
}

/** For files of this user's runs; nobody else can write there. */
function ownTemporaryDirectory(): string {
  const user = process.getuid?.();
  const path = join(tmpdir(), `relic-train-${user ?? 'ranks'}`);
  ensureDirectory(path);
  const { uid, mode } = statSync(path);
  if (user === undefined || (uid === user && (mode & 0o002) === 0)) return path;
  throw new RelicError('RELIC_RANKS', 'another user could write what the ranks tell each other', {
    where: path,
    expected: 'a folder that this user alone can write in',
    fix: 'remove it, or set TMPDIR to a folder of your own',
  });
}

function knownRunId({ runId, source }: RankPlace): string {
  if (runId !== null) return runId;
  throw new RelicError('RELIC_RANKS', `${source} gives the run no id`, { fix: 'give all ranks the same --rdzv-id' });
}

function isOneNode({ size, localSize }: RankPlace): boolean {
  return localSize === size;
}

function whoIs({ rank, size, source }: RankPlace): string {
  return `rank ${rank} of ${size} (${source})`;
}
