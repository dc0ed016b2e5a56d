/** Runs of several ranks that end well: whoever started them, they give what the same ranks in one process give. */
import { readFileSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { assertClose } from '../assert.ts';
import type { Started } from '../distributed/start-ranks.ts';
import type { Project } from '../e2e/project.ts';
import { differences, withoutTimes } from '../resume/check.ts';
import { assertAllGone, assertWhole, failures, temporaryFiles } from './observed.ts';
import { rankProject } from './ranks.ts';

const GONE_MS = 10_000;
/** Of losses whose sums the ranks form in another order. */
const ROUNDING = 1e-5;

const projects: Project[] = [];
export function project(): Project {
  projects.push(rankProject());
  return projects[projects.length - 1];
}

/** To be called after the tests. */
export function removeProjects(): void {
  for (const each of projects) each.remove();
}

/** Finished runs of so many ranks, each made once: in one process, and by real ranks that any launcher started. */
const [simulated, real] = [new Map<number, Project>(), new Map<number, Project>()];

async function inOneProcess(size: number): Promise<Project> {
  const here = simulated.get(size) ?? project();
  if (simulated.has(size)) return here;
  const { status, stderr } = await here.run('--config', 'config.yaml', '--simulate-ranks', String(size));
  assert.is(status, 0, stderr);
  simulated.set(size, here);
  return here;
}

/** Every number of the CSV files but times, in order. */
function numbersOf(here: Project): number[] {
  const files = ['pretrain/p/training_step.csv', 'finetune/f/training_step.csv', 'evaluate/e/evaluate.csv'];
  const rows = files.flatMap((name) => withoutTimes(here.path('logs/v3', name)).split('\n').slice(1));
  return rows.flatMap((row) => row.split(',')).map(Number);
}

/** The run of these ranks ends well, leaves nothing behind, and wrote what the same ranks in one process write. */
export async function assertGood(here: Project, size: number, { ended }: Started): Promise<void> {
  for (const { status, stdout, stderr } of await ended) assert.is(status, 0, stderr + stdout);
  await assertAllGone(here, GONE_MS);
  assertWhole(here);
  assert.equal(temporaryFiles(here), []);
  assert.is(failures(here).size, 0);
  const manifest = JSON.parse(readFileSync(here.path('logs/v3/pretrain/p/run.json'), 'utf8'));
  assert.is(manifest.run.ranks, size);
  assertClose(numbersOf(here), numbersOf(await inOneProcess(size)), { rel: ROUNDING, abs: ROUNDING });
  // Two summands have one sum, whoever forms it; of more, it depends on their order.
  const other = real.get(size) ?? here;
  if (size === 2) assert.equal(differences(other, here), []);
  real.set(size, other);
}
