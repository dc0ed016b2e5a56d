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
  { name: 'WORLD_SIZE', meaning: 'Processes launched by torchrun; read with RANK.', default: '1' },
  { name: 'RANK', meaning: 'This process among them, from 0.', default: '0' },
  { name: 'OMPI_COMM_WORLD_SIZE', meaning: "Processes launched by Open MPI's mpirun.", default: '1' },
  { name: 'PMI_SIZE', meaning: "Processes launched by MPICH's or Intel's mpirun.", default: '1' },
  {
    name: 'SLURM_STEP_ID',
    meaning: 'Set inside an srun step; without it SLURM_STEP_NUM_TASKS does not count.',
    default: 'unset',
  },
  { name: 'SLURM_STEP_NUM_TASKS', meaning: 'Processes launched by srun.', default: '1' },
  {
    name: 'LOCAL_WORLD_SIZE',
    meaning: 'Processes of this node launched by torchrun; they share its CPUs.',
    default: '1',
  },
  { name: 'OMPI_COMM_WORLD_LOCAL_SIZE', meaning: "Likewise of Open MPI's mpirun.", default: '1' },
  { name: 'MPI_LOCALNRANKS', meaning: "Likewise of MPICH's or Intel's mpirun.", default: '1' },
  { name: 'SLURM_STEP_TASKS_PER_NODE', meaning: 'Likewise of srun, for each node: `4(x2),3`.', default: '1' },
  { name: 'SLURM_NODEID', meaning: 'This node among them, from 0.', default: '0' },
  { name: 'SLURM_CPUS_ON_NODE', meaning: 'CPUs of this node that an srun step may use.', default: 'all' },
  { name: 'RELIC_NATIVE', meaning: 'A binary of the native engine, tried before any other.', default: 'unset' },
  {
    name: 'RELIC_CUBLASLT',
    meaning: 'The file of cuBLASLt that the GPU engine uses, tried before any other.',
    default: 'unset',
  },
  { name: 'VIRTUAL_ENV', meaning: 'A Python environment whose NVIDIA packages may hold cuBLASLt.', default: 'unset' },
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
  /** Processes that the launcher started on this node. */
  readonly localRanks: number;
  /** CPUs that the launcher gave to the processes of this node together; null where it does not say. */
  readonly allottedCpus: number | null;
  /** Absolute path; null unless set. */
  readonly nativePath: string | null;
  readonly isa: string | null;
  /** Absolute path; null unless set. */
  readonly cublasLtPath: string | null;
  /** Folders of active Python environments. */
  readonly pythonEnvironments: readonly string[];
}

const ISAS = ['generic', 'avx2', 'avx512', 'neon', 'amx'];

/** @throws RelicError RELIC_USAGE for a variable whose value cannot be read */
export function readEnv(env: Environment = process.env): Env {
  const nativePath = variable(env, 'RELIC_NATIVE');
  const cublasLtPath = variable(env, 'RELIC_CUBLASLT');
  return Object.freeze({
    ci: !['0', 'false', undefined].includes(variable(env, 'CI')?.toLowerCase()),
    rank: count(env, 'RANK', 0) ?? 0,
    worldSize: launchedWorldSize(env),
    ...launchedHere(env),
    nativePath: nativePath === undefined ? null : resolve(nativePath),
    isa: chosenIsa(env),
    cublasLtPath: cublasLtPath === undefined ? null : resolve(cublasLtPath),
    pythonEnvironments: [variable(env, 'VIRTUAL_ENV'), variable(env, 'CONDA_PREFIX')].filter(
      (each) => each !== undefined,
    ),
  });
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

function count(env: Environment, name: VariableName, least: number): number | undefined {
  const text = variable(env, name);
  if (text === undefined) return undefined;
  const value = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least)) throw refused(name, `a whole number from ${least}`, text);
  return value;
}

function refused(name: VariableName, expected: string, value: string): RelicError {
  return new RelicError('RELIC_USAGE', `Environment variable ${name} cannot be read`, {
    expected,
    received: shown(value),
    fix: `set ${name} as expected, or unset it`,
  });
}
