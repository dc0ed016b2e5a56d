/** One function for each way to start ranks, in the order in which they count. */
import type { Launchers } from '../env.ts';
import { RelicError } from '../errors.ts';
import type { Meeting, RankFlags, RankPlace } from './place.ts';

/** A place, and how far to believe it. */
export interface Found extends Omit<RankPlace, 'others' | 'launched'> {
  /** Whether it may have outlived its run: options and exported variables do, what a launcher sets does not. */
  readonly mayBeStale: boolean;
  /** How to take it back. */
  readonly undo: string;
}

/**
 * Null where this way left no trace.
 * @throws RelicError RELIC_RANKS where its trace is incomplete or cannot be
 */
type Source = (launchers: Launchers, flags: RankFlags | null) => Found | null;

/** Best first. Slurm comes after every mpirun, since inside an allocation all their ranks see the same task of Slurm. */
export const SOURCES: readonly Source[] = [given, torchrun, openMpi, pmi, slurm, pmixAlone];

const BY_HAND = 'give each process --rank, --world-size and --rdzv';

function given(_: Launchers, flags: RankFlags | null): Found | null {
  if (flags === null) return null;
  const { rank, size, rendezvous } = flags;
  const derived = rendezvous?.kind === 'address' ? addressId(rendezvous.host, rendezvous.port) : null;
  return checked({
    rank,
    size,
    ...localOf(rank, size, rendezvous, flags.localRank ?? undefined),
    source: '--rank and --world-size',
    runId: flags.runId ?? derived,
    meeting: rendezvous ?? { kind: 'alone' },
    mayBeStale: true,
    undo: 'leave --rank and --world-size out',
  });
}

function torchrun({ torch, master }: Launchers): Found | null {
  const { rank, size } = torch;
  if (rank === undefined && size === undefined) return null;
  if (rank === undefined || size === undefined)
    throw incomplete({ RANK: rank, WORLD_SIZE: size }, 'unset both, or set');
  const elastic = torch.runId !== undefined;
  const facts = { rank, size, source: 'RANK and WORLD_SIZE', mayBeStale: !elastic, undo: 'unset RANK and WORLD_SIZE' };
  if (size === 1) return checked({ ...facts, ...localOf(rank, size, null), runId: null, meeting: { kind: 'alone' } });
  const { host, port } = master;
  if (host === undefined || port === undefined) {
    throw incomplete({ RANK: rank, WORLD_SIZE: size, MASTER_ADDR: host, MASTER_PORT: port }, 'set', facts.undo);
  }
  const meeting = { kind: 'address', host, port: torch.agentStore ? port + 1 : port } as const;
  // torchrun calls every run "none" that was not given an id.
  const id = torch.runId === undefined || torch.runId === 'none' ? addressId(host, port) : torch.runId;
  return checked({
    ...facts,
    ...localOf(rank, size, meeting, torch.localRank, torch.localSize),
    source: elastic ? 'torchrun' : facts.source,
    runId: elastic ? `${id}.${torch.restarts}` : id,
    meeting,
  });
}

function openMpi(launchers: Launchers): Found | null {
  const { rank, size, localRank, localSize } = launchers.openMpi;
  if (rank === undefined && size === undefined) return null;
  if (rank === undefined || size === undefined || localRank === undefined || localSize === undefined) {
    const prefix = 'OMPI_COMM_WORLD_';
    throw incomplete({
      [`${prefix}RANK`]: rank,
      [`${prefix}SIZE`]: size,
      [`${prefix}LOCAL_RANK`]: localRank,
      [`${prefix}LOCAL_SIZE`]: localSize,
    });
  }
  const runId = launchers.pmix.namespace ?? null;
  const kind = localSize === size && runId !== null ? 'local' : 'mpi';
  return checked({
    ...{ rank, size, localRank, localSize, runId },
    source: 'mpirun (Open MPI)',
    meeting: meetingOf(launchers, size, runId, (port) => ({ kind, port })),
    mayBeStale: false,
    undo: 'unset the OMPI_COMM_WORLD_* variables',
  });
}

function pmi(launchers: Launchers): Found | null {
  const { pmi, slurm } = launchers;
  const { rank, size, fd, hydra } = pmi;
  if (rank === undefined && size === undefined) return null;
  if (rank === undefined || size === undefined) throw incomplete({ PMI_RANK: rank, PMI_SIZE: size });
  const step = !hydra && slurm.stepId !== undefined;
  if (step && (rank !== slurm.rank || size !== slurm.size)) {
    throw new RelicError('RELIC_RANKS', 'srun contradicts itself about the rank of this process', {
      expected: `SLURM_PROCID=${rank} and SLURM_STEP_NUM_TASKS=${size}, as PMI_RANK and PMI_SIZE say`,
      received: `SLURM_PROCID=${slurm.rank} and SLURM_STEP_NUM_TASKS=${slurm.size}`,
      fix: `start with srun directly, or unset the PMI_* variables, or ${BY_HAND}`,
    });
  }
  const runId = step ? stepRunId(slurm) : null;
  const [localRank, localSize] = step ? [slurm.localRank, slurm.localSize] : [pmi.localRank, pmi.localSize];
  return checked({
    ...{ rank, size, runId },
    ...localOf(rank, size, null, localRank, localSize),
    source: step ? 'srun (PMI)' : 'mpirun (MPICH, Intel MPI)',
    meeting: meetingOf(launchers, size, runId, (port) =>
      fd === undefined ? { kind: 'mpi', port } : { kind: 'pmi', fd, port },
    ),
    mayBeStale: false,
    undo: 'unset the PMI_* variables',
  });
}

function slurm(launchers: Launchers): Found | null {
  const { stepId, rank, size, localRank, localSize, nodes, tasks, jobId } = launchers.slurm;
  if (stepId === undefined) {
    if (tasks === undefined || tasks === 1) return null;
    throw new RelicError('RELIC_RANKS', `Slurm was asked for ${tasks} tasks, but srun started none of them`, {
      expected: 'a process of an srun step (SLURM_STEP_ID)',
      received: `SLURM_NTASKS=${tasks} alone, as in a batch script or the shell of an allocation`,
      fix: 'start with srun, as in `srun --kill-on-bad-exit=1 relic-train ...`; for one process give --rank 0 --world-size 1',
    });
  }
  if (jobId === undefined || rank === undefined || size === undefined || localRank === undefined) {
    throw incomplete({
      SLURM_STEP_ID: stepId,
      SLURM_JOB_ID: jobId,
      SLURM_PROCID: rank,
      SLURM_STEP_NUM_TASKS: size,
      SLURM_LOCALID: localRank,
    });
  }
  const runId = stepRunId(launchers.slurm);
  const local = localOf(rank, size, null, localRank, localSize);
  return checked({
    ...{ rank, size, runId, ...local },
    source: 'srun',
    meeting: meetingOf(launchers, size, runId, (port) => {
      if (local.localSize === size) return { kind: 'local', port };
      if (nodes === undefined) throw incomplete({ SLURM_STEP_ID: stepId, SLURM_STEP_NODELIST: nodes });
      return { kind: 'slurm', nodes, port };
    }),
    mayBeStale: false,
    undo: 'start outside the srun step',
  });
}

function pmixAlone({ pmix, openMpi }: Launchers): Found | null {
  if (pmix.rank === undefined || openMpi.rank !== undefined) return null;
  throw new RelicError('RELIC_RANKS', `PMIX_RANK=${pmix.rank} does not say how many ranks there are`, {
    expected: "the variables of srun or of an mpirun (SLURM_STEP_*, OMPI_COMM_WORLD_*, PMI_*) beside PMIx's",
    fix: `start with srun or mpirun, or ${BY_HAND}`,
  });
}

/** Where MASTER_ADDR says, if it does. */
function meetingOf(
  { master: { host, port } }: Launchers,
  size: number,
  runId: string | null,
  otherwise: (port: number | null) => Meeting,
): Meeting {
  if (size === 1) return { kind: 'alone' };
  if (host === undefined) return otherwise(port ?? null);
  if (port === undefined && runId === null)
    throw incomplete({ MASTER_ADDR: host, MASTER_PORT: port }, 'unset it, or set');
  return { kind: 'address', host, port: port ?? null };
}

/**
 * The place on the node. Ranks that meet on a loopback address are on one node; where nothing else is told this one is
 * taken to be alone on its node.
 */
function localOf(rank: number, size: number, meeting: Meeting | null, localRank?: number, localSize?: number) {
  if (meeting?.kind === 'address' && /^(localhost|127\..*|::1)$/.test(meeting.host)) {
    return { localRank: localRank ?? rank, localSize: localSize ?? size };
  }
  return { localRank: localRank ?? 0, localSize: localSize ?? (localRank ?? 0) + 1 };
}

function stepRunId({ jobId, stepId, restarts }: Launchers['slurm']): string {
  return `${jobId}.${stepId}.${restarts}`;
}

function addressId(host: string, port: number | null): string {
  return `${host}:${port}`;
}

function checked(found: Found): Found {
  const { source, rank, size, localRank, localSize, undo } = found;
  const wrong =
    rank >= size
      ? `rank ${rank} of ${size}`
      : localRank >= localSize || localSize > size
        ? `rank ${localRank} of ${localSize} on this node, of ${size} in all`
        : undefined;
  if (wrong === undefined) return found;
  throw new RelicError('RELIC_RANKS', `${source} cannot be right`, {
    expected: 'ranks from 0, below their number',
    received: wrong,
    fix: `set them right, or ${undo}`,
  });
}

/** @param variables a launcher's, with the values they have. @param advice what to do about those without. */
function incomplete(variables: Readonly<Record<string, unknown>>, advice = 'set', other?: string): RelicError {
  const missing = Object.keys(variables).filter((name) => variables[name] === undefined);
  const there = Object.entries(variables).filter(([, value]) => value !== undefined);
  const fix = `${advice} ${missing.join(' and ')}${other === undefined ? '' : `, or ${other}`}; or ${BY_HAND}`;
  return new RelicError('RELIC_RANKS', 'the environment says only in part which rank this process is', {
    expected: Object.keys(variables).join(', '),
    received: `${there.map(([name, value]) => `${name}=${value}`).join(', ')} without ${missing.join(', ')}`,
    fix,
  });
}
