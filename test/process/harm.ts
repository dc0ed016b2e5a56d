/** A run of three ranks, one of which comes to harm: the others name it within seconds and end. */
import * as assert from 'uvu/assert';
import type { Started } from '../distributed/start-ranks.ts';
import type { Project } from '../e2e/project.ts';
import { project } from './good-runs.ts';
import {
  assertAllGone,
  assertNamed,
  assertWhole,
  failures,
  isRunning,
  lastCheckpoints,
  waitForLog,
  waitForRanks,
} from './observed.ts';
import { ENDLESS, launchByVariables } from './ranks.ts';
import { until } from './waiting.ts';

export const SIZE = 3;
/** In which survivors must have named the rank and ended, and within which nothing of the run lives on. */
export const NAMED_MS = 10_000;
export const SETTINGS = [...ENDLESS, 'run_config.checkpoint_every=1 epoch'];
/** The log of a run that has checkpoints. */
export const TRAINS = /"epoch":3/;

export type Way = (here: Project) => Promise<Started>;
export const byVariables: Way = (here) => launchByVariables(here, SIZE, { settings: SETTINGS });

/** Starts the run, waits until it trains, does `harm`, and looks at what became of it. */
export async function harmed(way: Way, rank: number, signal: NodeJS.Signals, named = true): Promise<void> {
  const here = project();
  const { ended } = await way(here);
  const ranks = await waitForRanks(here, SIZE);
  await waitForLog(here, 'pretrain', TRAINS);
  const pid = ranks.get(rank)!;
  const others = [...ranks.keys()].filter((each) => each !== rank);
  process.kill(pid, signal);
  await until(
    () => `the ranks ${others} end after ${signal} of rank ${rank}: ${[...failures(here)].map(([each]) => each)}`,
    NAMED_MS,
    () => others.every((other) => !isRunning(ranks.get(other)!)),
  );
  if (named) assertNamed(here, others, { rank, pid });
  // One that was stopped finds out, once it runs again.
  if (signal === 'SIGSTOP' && isRunning(pid)) process.kill(pid, 'SIGCONT');
  await assertAllGone(here, NAMED_MS);
  for (const { status } of await ended) assert.is.not(status, 0);
  // Rank 0 may have been saving: what it had not finished has a name that nobody reads, and the next start removes it.
  assertWhole(here);
  assert.equal(lastCheckpoints(here).length, 1);
}
