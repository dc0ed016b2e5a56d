/** The launchers of this machine, and their command lines for ranks that stay on it, started by any user on few cores. */
import { execFileSync } from 'node:child_process';

export type LauncherName = 'Open MPI' | 'MPICH';

export interface CommandLine {
  readonly program: string;
  readonly args: readonly string[];
  /** To be set beside what is inherited. */
  readonly environment: Readonly<Record<string, string>>;
}

export interface Launcher {
  readonly name: LauncherName;
  /** The command line that starts `ranks` processes of `program`. */
  command(ranks: number, program: string, args: readonly string[]): CommandLine;
}

interface Family {
  readonly name: LauncherName;
  /** Debian's alternatives first: `mpirun` is the one of either. */
  readonly programs: readonly string[];
  /** In what `--version` says. */
  readonly version: RegExp;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

const FAMILIES: readonly Family[] = [
  {
    name: 'Open MPI',
    programs: ['mpirun.openmpi', 'mpirun'],
    version: /Open MPI/,
    // More ranks than cores, bound to none, on the loopback interface alone.
    args: [
      ...['--oversubscribe', '--bind-to', 'none'],
      ...['--mca', 'oob_tcp_if_include', 'lo', '--mca', 'btl_tcp_if_include', 'lo'],
    ],
    environment: { OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' },
  },
  {
    name: 'MPICH',
    programs: ['mpirun.mpich', 'mpiexec.hydra', 'mpirun'],
    version: /HYDRA/,
    args: ['-iface', 'lo'],
    environment: {},
  },
];

/** Those that are installed; tests of ranks run under each of them. */
export function presentLaunchers(): Launcher[] {
  return FAMILIES.flatMap((family) => {
    const program = family.programs.find((each) => family.version.test(versionOf(each)));
    return program === undefined ? [] : [launcher(family, program)];
  });
}

function launcher({ name, args, environment }: Family, program: string): Launcher {
  return {
    name,
    command: (ranks, what, words) => ({ program, args: [...args, '-n', String(ranks), what, ...words], environment }),
  };
}

/** Empty where there is no such program. */
function versionOf(program: string): string {
  try {
    return execFileSync(program, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return '';
  }
}
