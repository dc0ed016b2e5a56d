/** The tiny project run by several ranks, under every launcher of this machine and under none. */
import { stringify } from 'yaml';
import type { CommandLine } from '../distributed/launchers.ts';
import { type Started, startLines, torchrunVariables } from '../distributed/start-ranks.ts';
import { Project, pairLines, tinyConfig } from '../e2e/project.ts';
import { installProgram } from './observed.ts';

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

/** Ranks that can be told to fail. */
function started(project: Project, lines: readonly CommandLine[]): Started {
  const fault = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(FAULT)}` };
  const told = lines.map((line) => ({ ...line, environment: { ...fault, ...line.environment } }));
  return startLines(project.dir, told);
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
  const variables = await torchrunVariables(size, port);
  const lines = ranks.map((rank) => {
    const line = wrap(process.execPath, programLine(project, settings, options));
    return { ...line, environment: { ...line.environment, ...variables[rank], ...environment } };
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
