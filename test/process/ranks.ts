/** The tiny project run by several ranks, under every launcher of this machine and under none. */
import { type ChildProcess, spawn } from 'node:child_process';
import { stringify } from 'yaml';
import type { CommandLine } from '../distributed/launchers.ts';
import { type Finished, finished, Project, pairLines, tinyConfig } from '../e2e/project.ts';
import { installProgram } from './observed.ts';
import { freePorts } from './waiting.ts';

/** The status with which a rank ends when it is told to end as if by a fault of its own. */
export const FAULT_STATUS = 3;
/** Makes every rank end with {@link FAULT_STATUS} at SIGUSR2. */
const FAULT = `process.on("SIGUSR2",()=>process.exit(${FAULT_STATUS}))`;

/** As many epochs as a test needs time. */
export const ENDLESS = ['training_config.epochs=100000', 'training_config.early_stopping_patience=100000'];

/** Everything of a run that has a state and works with several ranks, one thread each. */
export function rankProject(): Project {
  const project = new Project();
  const config = tinyConfig() as Record<string, Record<string, unknown>>;
  config.device_config = { ...config.device_config, ddp_enabled: true, threads: 1 };
  config.model_config.regularization = { dropout: 0.2 };
  Object.assign(config.training_config, { epochs: 3, scheduler: { type: 'onecycle', max_lr: 0.01, pct_start: 0.4 } });
  project.write('config.yaml', stringify(config));
  project.write('pairs/train.txt', pairLines(48));
  installProgram(project);
  return project;
}

export const optionsOf = (settings: readonly string[]): string[] => settings.flatMap((each) => ['--set', each]);

/** Ranks that were started, by one launcher or one by one. */
export interface Started {
  readonly children: readonly ChildProcess[];
  /** Of each of `children`, in their order. */
  readonly ended: Promise<readonly Finished[]>;
}

function started(project: Project, lines: readonly CommandLine[]): Started {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(SLURM|OMPI|PMI|PMIX|SBATCH|MPI|HYDI?|CI$|RANK$|WORLD_SIZE$|MASTER)/.test(name),
  );
  const children = lines.map(({ program, args, environment }) =>
    spawn(program, args, {
      cwd: project.dir,
      env: {
        ...Object.fromEntries(inherited),
        NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(FAULT)}`,
        TMPDIR: project.dir,
        ...environment,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  );
  return { children, ended: Promise.all(children.map((child) => finished(child))) };
}

const programLine = (project: Project, settings: readonly string[], more: readonly string[] = []) => [
  project.path('node_modules/.bin/relic-train'),
  ...['--config', 'config.yaml', ...optionsOf(settings), ...more],
];

/** Starts ranks with a launcher's command line. */
export function launch(
  project: Project,
  command: (program: string, args: readonly string[]) => CommandLine,
  settings: readonly string[],
  ...more: readonly string[]
): Started {
  return started(project, [command(process.execPath, programLine(project, settings, more))]);
}

export interface Told {
  readonly settings?: readonly string[];
  readonly options?: readonly string[];
  /** The ranks to start, when not each of them once. */
  readonly ranks?: readonly number[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly port?: number;
  /** What starts the program of each rank. */
  readonly wrap?: (program: string, args: readonly string[]) => CommandLine;
}

const asItIs = (program: string, args: readonly string[]): CommandLine => ({ program, args, environment: {} });

/** Starts ranks that no launcher knows, each told its number as torchrun tells it. */
export async function launchByVariables(project: Project, size: number, told: Told = {}): Promise<Started> {
  const { settings = [], options = [], ranks = numbers(size), environment, port, wrap = asItIs } = told;
  const master = { MASTER_ADDR: '127.0.0.1', MASTER_PORT: String(port ?? (await freePorts(1))[0]) };
  const lines = ranks.map((rank) => {
    const line = wrap(process.execPath, programLine(project, settings, options));
    const variables = { RANK: String(rank), WORLD_SIZE: String(size), ...master, ...environment };
    return { ...line, environment: { ...line.environment, ...variables } };
  });
  return started(project, lines);
}

/**
 * Starts ranks that are told their numbers on their command lines.
 * @param meeting the place, and the id of each rank's run; the last one is that of the ranks that follow too.
 */
export function launchByOptions(
  project: Project,
  size: number,
  [place, ...ids]: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Started {
  const lines = numbers(size).map((rank) => {
    const id = ids[Math.min(rank, ids.length - 1)];
    const told = ['--rank', String(rank), '--world-size', String(size), '--rdzv', place, '--rdzv-id', id];
    return { program: process.execPath, args: programLine(project, [], told), environment };
  });
  return started(project, lines);
}

const numbers = (size: number): number[] => Array.from({ length: size }, (_, i) => i);
