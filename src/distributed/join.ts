/** Joins the ranks of a run: they meet, watch over each other, and open what carries their gradients. */
import { hostname } from 'node:os';
import type { NativeComm, NativeRanks } from '../engine/native/binding.ts';
import { type CommOptions, openComm, openNccl } from '../engine/native/comm.ts';
import { findBinary, type LoadedBinary } from '../engine/native/loader.ts';
import { settled, translated } from '../engine/native/translated.ts';
import { type Launchers, readEnv, readLaunchers } from '../env.ts';
import { RelicError } from '../errors.ts';
import { ownAddress } from './address.ts';
import type { Address } from './file-rendezvous.ts';
import type { Group } from './group.ts';
import { JOIN_NOBODY, type Join, type Joined, type JoinRequest } from './joined.ts';
import { type Met, meet } from './meet.ts';
import type { RankPlace } from './place.ts';

/** A rank not heard of for this long is taken for stopped: all must know of it within ten seconds. */
const HEARTBEAT_TIMEOUT_MS = 5_000;
/** PyTorch's default: a rank that keeps the others waiting for this long is taken for stuck. */
const COLLECTIVE_TIMEOUT_MS = 600_000;
/** PyTorch's DDP: the first gradients should not wait long. */
const FIRST_BUCKET_BYTES = 1_000_000;
/** Of a launcher that started all ranks; the native side waits on behalf of the rendezvous. */
const DEFAULT_TIMEOUT_SECONDS = 120;

export interface JoinOptions {
  /** Seconds that the ranks have to find each other; RELIC_RDZV_TIMEOUT, else 120, unless given. */
  readonly timeoutSeconds?: number | undefined;
  /** Takes warnings that come up while the run goes on. */
  readonly warn: (message: string) => void;
}

/** How `place` becomes one of the ranks of a run. Every rank of it calls the result once. */
export function joinRanks(place: RankPlace, options: JoinOptions): Join {
  if (place.size === 1) return JOIN_NOBODY;
  const { localRank, localSize } = place;
  return { localRank, localSize, join: (request) => join(place, options, request) };
}

async function join(place: RankPlace, options: JoinOptions, request: JoinRequest): Promise<Joined> {
  const binary = await nativeBinary(place, request);
  const seconds = options.timeoutSeconds ?? readEnv().rendezvousTimeout ?? DEFAULT_TIMEOUT_SECONDS;
  const open = (rest: Partial<CommOptions>) => openComm(binary, { ...commOptions(place), ...rest });
  const { gpu } = request;
  const overMpi = gpu === undefined && commOptions(place).launcher !== 'other';
  // Where MPI alone can carry rank 0's address, or owns what else could, it comes first; else a watchdog sees to it.
  const first = overMpi && ['pmi', 'mpi'].includes(place.meeting.kind) ? await open({}) : undefined;
  const met = await meet(place, {
    listen: (host, ports) => listenOn(binary, host, ports),
    timeoutMs: 1000 * seconds,
    onTrouble: (error) => options.warn(error.message),
    ...(first === undefined ? {} : { mpiBroadcast: (bytes: Uint8Array | null) => first.broadcast(bytes) }),
  });
  const ranks = await comeTogether(binary, place, met, request, seconds);
  met.done();
  const comm =
    first ??
    (gpu === undefined
      ? await open({ store: ranks, address: await ownAddress(place.localSize === place.size) })
      : await openNccl(binary, {
          ...{ rank: place.rank, size: place.size, gpu },
          broadcast: (bytes) => settled(ranks.broadcast('NCCL id', bytes)),
        }));
  return new JoinedRanks(place, met, ranks, comm, request);
}

async function nativeBinary({ size }: RankPlace, { trainsTogether }: JoinRequest): Promise<LoadedBinary> {
  const { loaded } = await findBinary();
  if (loaded !== undefined && trainsTogether) return loaded;
  throw new RelicError('RELIC_RANKS', 'the TypeScript engine trains alone', {
    expected: `the native or the GPU engine, for ${size} ranks`,
    fix: 'see relic-train doctor on every node, leave device_config.engine at auto, or start one process',
  });
}

function listenOn({ binding }: LoadedBinary, host: string, ports: Iterable<number>): Promise<Address> {
  let busy: unknown;
  for (const port of ports) {
    try {
      return Promise.resolve({ host, port: translated(() => binding.hostStore({ address: host, port })) });
    } catch (error) {
      busy = error;
    }
  }
  return Promise.reject(busy);
}

function comeTogether(
  { binding }: LoadedBinary,
  { rank, size, launched }: RankPlace,
  { host, port, runId }: Met,
  { configHash, identity, version }: JoinRequest,
  seconds: number,
): Promise<NativeRanks> {
  return settled(
    binding.joinRanks({
      ...{ host, port, rank, size, runId, version },
      identity: `${identity}, config ${configHash}`,
      hostName: hostname(),
      timeoutMs: 1000 * seconds,
      heartbeatTimeoutMs: HEARTBEAT_TIMEOUT_MS,
      collectiveTimeoutMs: COLLECTIVE_TIMEOUT_MS,
      watchParent: launched,
    }),
  );
}

/** Whose MPI the launcher brings; srun's plugins are those of Open MPI (pmix) and MPICH (pmi2). */
export function launcherOf({ torch, openMpi, pmix, pmi }: Launchers): CommOptions['launcher'] {
  if (torch.rank !== undefined) return 'other';
  if (openMpi.rank !== undefined) return 'openmpi';
  if (pmi.rank !== undefined) return 'mpich';
  return pmix.rank === undefined ? 'other' : 'openmpi';
}

function commOptions({ rank, size, launched }: RankPlace): CommOptions {
  // Ranks that were told who they are may have been started within a launcher that knows less.
  return { backend: 'auto', rank, size, launcher: launched ? launcherOf(readLaunchers()) : 'other' };
}

class JoinedRanks implements Joined {
  readonly group: Group;
  readonly ranks: Joined['ranks'];
  readonly description: Joined['description'];
  private readonly comm: NativeComm;
  private readonly native: NativeRanks;

  constructor(place: RankPlace, met: Met, ranks: NativeRanks, comm: NativeComm, { bucketBytes }: JoinRequest) {
    const { rank, size, localRank, source } = place;
    this.native = ranks;
    this.comm = comm;
    this.ranks = { comm, bucketBytes: [Math.min(FIRST_BUCKET_BYTES, bucketBytes), bucketBytes] };
    this.group = {
      ...{ rank, size, localRank },
      allGather: (what, bytes) => settled(ranks.allGather(what, bytes)),
      broadcast: (what, bytes) => settled(ranks.broadcast(what, bytes)),
      progress: (step, what) => ranks.progress(step, what),
    };
    this.description = {
      ...{ ranks: size, launcher: source, rendezvous: `${met.host}:${met.port}`, rendezvous_id: met.runId },
      collectives: comm.description(),
    };
  }

  watch(directory: string): void {
    this.native.setFailDirectory(directory);
  }

  async leave(): Promise<void> {
    await settled(this.comm.close());
    await settled(this.native.leave());
  }

  async fail(code: string, message: string): Promise<void> {
    this.native.fail(code, message);
  }
}
