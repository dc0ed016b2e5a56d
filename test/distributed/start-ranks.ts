/** Starts the ranks of a run as processes: by the launchers of this machine, or one by one, told by variables as torchrun does. */
import { type ChildProcess, spawn } from 'node:child_process';
import { type Finished, finished } from '../e2e/project.ts';
import { freePorts } from '../process/waiting.ts';
import { type CommandLine, presentLaunchers } from './launchers.ts';

/** Ranks that were started, by one launcher or one by one. */
export interface Started {
  readonly children: readonly ChildProcess[];
  /** Of each of `children`, in their order. */
  readonly ended: Promise<readonly Finished[]>;
}

/** The names of launchers of ranks on a command line; `env`: none but the variables that torchrun sets. */
export type WayName = 'env' | 'openmpi' | 'mpich';

const LAUNCHERS = { openmpi: 'Open MPI', mpich: 'MPICH' } as const;

/** Those that this machine has. */
export function presentWays(): WayName[] {
  const present = presentLaunchers().map(({ name }) => name);
  const launchers = (['openmpi', 'mpich'] as const).filter((way) => present.includes(LAUNCHERS[way]));
  return ['env', ...launchers];
}

/** What starts `program` on each of `size` ranks. @throws Error where the launcher is not on this machine */
export async function rankLines(
  way: WayName,
  size: number,
  program: string,
  args: readonly string[],
): Promise<CommandLine[]> {
  if (way === 'env') {
    const variables = await torchrunVariables(size);
    return variables.map((environment) => ({ program, args, environment }));
  }
  const launcher = presentLaunchers().find(({ name }) => name === LAUNCHERS[way]);
  if (launcher === undefined) throw new Error(`${LAUNCHERS[way]} is not installed`);
  return [launcher.command(size, program, args)];
}

/** What torchrun tells each of `size` ranks of this machine. @param port of rank 0; a free one unless given. */
export async function torchrunVariables(size: number, port?: number): Promise<Record<string, string>[]> {
  const master = { MASTER_ADDR: '127.0.0.1', MASTER_PORT: String(port ?? (await freePorts(1))[0]) };
  return Array.from({ length: size }, (_, rank) => ({ RANK: String(rank), WORLD_SIZE: String(size), ...master }));
}

/** Runs these in `cwd`, which has their temporary files too, without what a launcher around the tests left. */
export function startLines(cwd: string, lines: readonly CommandLine[]): Started {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(SLURM|OMPI|PMI|PMIX|SBATCH|MPI|HYDI?|CI$|RANK$|WORLD_SIZE$|MASTER)/.test(name),
  );
  const children = lines.map(({ program, args, environment }) =>
    spawn(program, args, {
      cwd,
      env: { ...Object.fromEntries(inherited), TMPDIR: cwd, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  );
  return { children, ended: Promise.all(children.map((child) => finished(child))) };
}
