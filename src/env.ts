/**
 * Every environment variable this package reads, and the only place that reads them. Settings of a run belong in its
 * config; what stands here describes the terminal and the launcher.
 */
import { resolve } from 'node:path';
import { RelicError, shown } from './errors.ts';

type Environment = Readonly<Record<string, string | undefined>>;

interface Variable {
  readonly name: string;
  readonly meaning: string;
  readonly default: string;
}

/** The registry: documentation reads it, and a test holds that nothing else is read. */
export const ENVIRONMENT = [
  { name: 'CI', meaning: 'Any value but an empty one, 0 or false: no progress display.', default: 'unset' },
  {
    name: 'RELIC_RDZV_TIMEOUT',
    meaning: 'Seconds that the ranks of a run have to find each other; `--rdzv-timeout` goes before it.',
    default: '120',
  },
  {
    name: 'RANK',
    meaning: 'This process among those of the run, from 0; set by torchrun and by hand.',
    default: 'unset',
  },
  { name: 'WORLD_SIZE', meaning: 'Processes of the run; read with RANK.', default: 'unset' },
  { name: 'LOCAL_RANK', meaning: 'This process among those of its node; read with RANK.', default: '0' },
  {
    name: 'LOCAL_WORLD_SIZE',
    meaning: 'Processes of this node launched by torchrun; they share its CPUs.',
    default: '1',
  },
  {
    name: 'MASTER_ADDR',
    meaning: 'Where rank 0 listens: host or address. Required with RANK; other launchers can do without.',
    default: 'found out',
  },
  { name: 'MASTER_PORT', meaning: 'The port on which rank 0 listens; required with RANK.', default: 'found out' },
  { name: 'TORCHELASTIC_RUN_ID', meaning: 'Id of a run that torchrun started.', default: 'unset' },
  { name: 'TORCHELASTIC_RESTART_COUNT', meaning: 'How often torchrun started it again.', default: '0' },
  {
    name: 'TORCHELASTIC_USE_AGENT_STORE',
    meaning: '`True` where torchrun itself listens on MASTER_PORT; rank 0 takes the port after it.',
    default: 'unset',
  },
  { name: 'OMPI_COMM_WORLD_RANK', meaning: "This process among those of Open MPI's mpirun.", default: 'unset' },
  { name: 'OMPI_COMM_WORLD_SIZE', meaning: "Processes launched by Open MPI's mpirun.", default: '1' },
  { name: 'OMPI_COMM_WORLD_LOCAL_RANK', meaning: 'This process among those of its node.', default: 'unset' },
  { name: 'OMPI_COMM_WORLD_LOCAL_SIZE', meaning: 'Processes of this node.', default: '1' },
  { name: 'PMIX_NAMESPACE', meaning: "Id of a run that Open MPI's mpirun started.", default: 'unset' },
  { name: 'PMIX_RANK', meaning: 'Set by launchers that speak PMIx; it does not suffice alone.', default: 'unset' },
  { name: 'PMI_RANK', meaning: "This process among those of MPICH's or Intel's mpirun.", default: 'unset' },
  {
    name: 'PMI_SIZE',
    meaning: "Processes launched by MPICH's or Intel's mpirun, or by srun --mpi=pmi2.",
    default: '1',
  },
  { name: 'PMI_FD', meaning: 'The open file over which these launchers carry messages.', default: 'unset' },
  {
    name: 'HYDI_CONTROL_FD',
    meaning: "Set by MPICH's and Intel's mpirun alone; tells them from srun.",
    default: 'unset',
  },
  { name: 'MPI_LOCALRANKID', meaning: 'This process among those of its node, by these mpiruns.', default: 'unset' },
  { name: 'MPI_LOCALNRANKS', meaning: 'Processes of this node, by these mpiruns.', default: '1' },
  { name: 'SLURM_JOB_ID', meaning: 'Part of the id of a run that srun started.', default: 'unset' },
  { name: 'SLURM_RESTART_COUNT', meaning: 'How often its job was queued again; part of the id too.', default: '0' },
  {
    name: 'SLURM_STEP_ID',
    meaning: 'Set inside an srun step; without it no other variable of a step counts.',
    default: 'unset',
  },
  { name: 'SLURM_PROCID', meaning: 'This process among those of an srun step.', default: 'unset' },
  { name: 'SLURM_STEP_NUM_TASKS', meaning: 'Processes launched by srun.', default: '1' },
  { name: 'SLURM_STEP_NODELIST', meaning: 'Nodes of the step: `n[1-2]`; rank 0 is on the first.', default: 'unset' },
  { name: 'SLURM_STEP_TASKS_PER_NODE', meaning: 'Processes of each node of the step: `4(x2),3`.', default: '1' },
  { name: 'SLURM_LOCALID', meaning: 'This process among those of its node.', default: 'unset' },
  { name: 'SLURM_NODEID', meaning: 'This node among those of the step, from 0.', default: '0' },
  { name: 'SLURM_CPUS_ON_NODE', meaning: 'CPUs of this node that an srun step may use.', default: 'all' },
  {
    name: 'SLURM_NTASKS',
    meaning: 'Tasks of an allocation; where several are asked for but none was started by srun, that is an error.',
    default: '1',
  },
  {
    name: 'RELIC_RANK_LOG',
    meaning: 'A folder in which every rank but rank 0 logs what it does, as `rank.R.log`: to see where a run hangs.',
    default: 'unset',
  },
  { name: 'RELIC_NATIVE', meaning: 'A binary of the native engine, tried before any other.', default: 'unset' },
  {
    name: 'RELIC_CUBLASLT',
    meaning: 'The file of cuBLASLt that the GPU engine uses, tried before any other.',
    default: 'unset',
  },
  { name: 'RELIC_NCCL', meaning: 'The file of NCCL that ranks on GPUs use, tried first.', default: 'unset' },
  {
    name: 'VIRTUAL_ENV',
    meaning: 'A Python environment whose NVIDIA packages may hold cuBLASLt and NCCL.',
    default: 'unset',
  },
  { name: 'CONDA_PREFIX', meaning: 'Likewise, of conda.', default: 'unset' },
  {
    name: 'RELIC_ISA',
    meaning: 'Kernels of the native engine: generic, avx2, avx512 or neon, and amx for bf16.',
    default: 'the best',
  },
] as const satisfies readonly Variable[];

export type VariableName = (typeof ENVIRONMENT)[number]['name'];

/** The environment as typed values. */
export interface Env {
  readonly ci: boolean;
  readonly rank: number;
  readonly worldSize: number;
  /** Seconds that the ranks have to find each other; null unless set. */
  readonly rendezvousTimeout: number | null;
  /** Processes that the launcher started on this node. */
  readonly localRanks: number;
  /** CPUs that the launcher gave to the processes of this node together; null where it does not say. */
  readonly allottedCpus: number | null;
  /** Where ranks other than 0 log, an absolute path; null unless set. */
  readonly rankLogDirectory: string | null;
  /** Absolute path; null unless set. */
  readonly nativePath: string | null;
  readonly isa: string | null;
  /** Absolute path; null unless set. */
  readonly cublasLtPath: string | null;
  /** Absolute path; null unless set. */
  readonly ncclPath: string | null;
  /** Folders of active Python environments. */
  readonly pythonEnvironments: readonly string[];
}

const ISAS = ['generic', 'avx2', 'avx512', 'neon', 'amx'];

/** @throws RelicError RELIC_USAGE for a variable whose value cannot be read */
export function readEnv(env: Environment = process.env): Env {
  const nativePath = variable(env, 'RELIC_NATIVE');
  const cublasLtPath = variable(env, 'RELIC_CUBLASLT');
  const ncclPath = variable(env, 'RELIC_NCCL');
  const rankLogDirectory = variable(env, 'RELIC_RANK_LOG');
  return Object.freeze({
    ci: !['0', 'false', undefined].includes(variable(env, 'CI')?.toLowerCase()),
    rank: count(env, 'RANK', 0) ?? 0,
    worldSize: launchedWorldSize(env),
    rendezvousTimeout: count(env, 'RELIC_RDZV_TIMEOUT', 1) ?? null,
    ...launchedHere(env),
    rankLogDirectory: rankLogDirectory === undefined ? null : resolve(rankLogDirectory),
    nativePath: nativePath === undefined ? null : resolve(nativePath),
    isa: chosenIsa(env),
    cublasLtPath: cublasLtPath === undefined ? null : resolve(cublasLtPath),
    ncclPath: ncclPath === undefined ? null : resolve(ncclPath),
    pythonEnvironments: [variable(env, 'VIRTUAL_ENV'), variable(env, 'CONDA_PREFIX')].filter(
      (each) => each !== undefined,
    ),
  });
}

/** See {@link readLaunchers}. */
export type Launchers = ReturnType<typeof readLaunchers>;

/**
 * What launchers left in the environment, launcher by launcher, undefined where nothing; `distributed/` judges what counts.
 * @throws RelicError RELIC_USAGE for a variable whose value cannot be read
 */
export function readLaunchers(env: Environment = process.env) {
  const stepId = variable(env, 'SLURM_STEP_ID');
  const hydra = [variable(env, 'HYDI_CONTROL_FD'), variable(env, 'MPI_LOCALRANKID')].some((each) => each !== undefined);
  return {
    torch: {
      rank: count(env, 'RANK', 0),
      size: count(env, 'WORLD_SIZE', 1),
      localRank: count(env, 'LOCAL_RANK', 0),
      localSize: count(env, 'LOCAL_WORLD_SIZE', 1),
      runId: variable(env, 'TORCHELASTIC_RUN_ID'),
      restarts: count(env, 'TORCHELASTIC_RESTART_COUNT', 0) ?? 0,
      /** Whether torchrun's own store listens on the master's port. */
      agentStore: variable(env, 'TORCHELASTIC_USE_AGENT_STORE') === 'True',
    },
    master: { host: variable(env, 'MASTER_ADDR'), port: count(env, 'MASTER_PORT', 1, 65535) },
    openMpi: {
      rank: count(env, 'OMPI_COMM_WORLD_RANK', 0),
      size: count(env, 'OMPI_COMM_WORLD_SIZE', 1),
      localRank: count(env, 'OMPI_COMM_WORLD_LOCAL_RANK', 0),
      localSize: count(env, 'OMPI_COMM_WORLD_LOCAL_SIZE', 1),
    },
    pmix: { rank: count(env, 'PMIX_RANK', 0), namespace: variable(env, 'PMIX_NAMESPACE') },
    pmi: {
      rank: count(env, 'PMI_RANK', 0),
      size: count(env, 'PMI_SIZE', 1),
      fd: count(env, 'PMI_FD', 0),
      localRank: count(env, 'MPI_LOCALRANKID', 0),
      localSize: count(env, 'MPI_LOCALNRANKS', 1),
      /** Whether an mpirun with the process manager Hydra set them, and not srun. */
      hydra,
    },
    slurm: {
      jobId: variable(env, 'SLURM_JOB_ID'),
      /** Undefined outside a step: in a batch script, or in the shell of an allocation. */
      stepId,
      restarts: count(env, 'SLURM_RESTART_COUNT', 0) ?? 0,
      rank: count(env, 'SLURM_PROCID', 0),
      size: count(env, 'SLURM_STEP_NUM_TASKS', 1),
      localRank: count(env, 'SLURM_LOCALID', 0),
      localSize: stepId === undefined ? undefined : stepTasksHere(env),
      /** Of the step, as a hostlist. */
      nodes: variable(env, 'SLURM_STEP_NODELIST'),
      /** Of the allocation. */
      tasks: count(env, 'SLURM_NTASKS', 1),
    },
  };
}

/**
 * Libraries below MPI replace functions that allocate memory when they start, and UCX moves the end of the heap to see
 * whether that worked: deadly in a process whose other threads allocate meanwhile. UCX also keeps a process that has
 * crashed from ending.
 */
const MPI_DEFAULTS = { UCX_MEM_EVENTS: 'no', UCX_HANDLE_ERRORS: 'none', OMPI_MCA_memory: '^patcher' } as const;

/** To be called before an MPI library is opened; what the user has set stays. */
export function setMpiDefaults(env: Record<string, string | undefined> = process.env): void {
  for (const [name, value] of Object.entries(MPI_DEFAULTS)) env[name] ??= value;
}

function chosenIsa(env: Environment): string | null {
  const isa = variable(env, 'RELIC_ISA');
  if (isa !== undefined && !ISAS.includes(isa)) throw refused('RELIC_ISA', ISAS.join(', '), isa);
  return isa ?? null;
}

/**
 * How many processes the launcher started: torchrun's word first, then mpirun's, then srun's. An allocation alone
 * (`sbatch` without `srun`) starts one process, whatever SLURM_NTASKS says, and `mpirun` inside it knows better.
 * @throws RelicError RELIC_USAGE for a size that is not a whole number from 1
 */
export function launchedWorldSize(env: Environment = process.env): number {
  const step = variable(env, 'SLURM_STEP_ID') === undefined ? undefined : count(env, 'SLURM_STEP_NUM_TASKS', 1);
  return count(env, 'WORLD_SIZE', 1) ?? count(env, 'OMPI_COMM_WORLD_SIZE', 1) ?? count(env, 'PMI_SIZE', 1) ?? step ?? 1;
}

/**
 * What the launcher started on this node. `mpirun` inside an allocation of Slurm leaves the variables of its own daemons'
 * step, so these count last.
 */
function launchedHere(env: Environment): { localRanks: number; allottedCpus: number | null } {
  const told =
    count(env, 'LOCAL_WORLD_SIZE', 1) ??
    count(env, 'OMPI_COMM_WORLD_LOCAL_SIZE', 1) ??
    count(env, 'MPI_LOCALNRANKS', 1);
  if (told !== undefined || variable(env, 'SLURM_STEP_ID') === undefined) {
    return { localRanks: told ?? 1, allottedCpus: null };
  }
  return { localRanks: stepTasksHere(env) ?? 1, allottedCpus: count(env, 'SLURM_CPUS_ON_NODE', 1) ?? null };
}

/** This node's entry of `4(x2),3`, which means 4, 4 and 3 tasks. */
function stepTasksHere(env: Environment): number | undefined {
  const text = variable(env, 'SLURM_STEP_TASKS_PER_NODE');
  if (text === undefined) return undefined;
  let nodes = count(env, 'SLURM_NODEID', 0) ?? 0;
  for (const part of text.split(',')) {
    const [, tasks, times = '1'] = /^([1-9][0-9]*)(?:\(x([1-9][0-9]*)\))?$/.exec(part) ?? [];
    if (tasks === undefined) throw refused('SLURM_STEP_TASKS_PER_NODE', 'tasks of each node, such as 4(x2),3', text);
    nodes -= Number(times);
    if (nodes < 0) return Number(tasks);
  }
  throw refused('SLURM_NODEID', 'a node of SLURM_STEP_TASKS_PER_NODE', variable(env, 'SLURM_NODEID') ?? '0');
}

/** The trimmed value; undefined if unset or empty. */
function variable(env: Environment, name: VariableName): string | undefined {
  return env[name]?.trim() || undefined;
}

function count(env: Environment, name: VariableName, least: number, most = Number.MAX_SAFE_INTEGER) {
  const text = variable(env, name);
  if (text === undefined) return undefined;
  const value = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw refused(name, `a whole number from ${least}${most < Number.MAX_SAFE_INTEGER ? ` to ${most}` : ''}`, text);
}

function refused(name: VariableName, expected: string, value: string): RelicError {
  return new RelicError('RELIC_USAGE', `Environment variable ${name} cannot be read`, {
    expected,
    received: shown(value),
    fix: `set ${name} as expected, or unset it`,
  });
}
