/** Several ranks that are asked to stop: they stop at one step, save, and go on as if nothing had happened. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Project } from '../e2e/project.ts';
import { differences } from '../resume/check.ts';
import { assertAllGone, assertWhole, temporaryFiles, waitForLog, waitForRanks } from './observed.ts';
import { launchByVariables, optionsOf, rankProject } from './ranks.ts';
import { SlurmCluster, slurmMissing } from './slurm-cluster.ts';

const test = suite('process/ranks-preempted');
const SCRIPT = fileURLToPath(new URL('../../scripts/v3.sh', import.meta.url));
const SIZE = 2;
const GONE_MS = 10_000;
const SETTINGS = ['training_config.epochs=150', 'training_config.early_stopping_patience=1000'];
const TRAINS = /"epoch":3/;

const projects: Project[] = [];
function project(): Project {
  projects.push(rankProject());
  return projects[projects.length - 1];
}
test.after(() => {
  for (const each of projects) each.remove();
});

async function uninterrupted(...options: string[]): Promise<Project> {
  const here = project();
  const { ended } = await launchByVariables(here, SIZE, { settings: SETTINGS, options });
  for (const { status, stderr } of await ended) assert.is(status, 0, stderr.slice(-2000));
  return here;
}

for (const rank of [0, 1]) {
  test(`USR1 to rank ${rank} alone: both end with 85, and the resumed run equals a whole one`, async () => {
    const here = project();
    const first = await launchByVariables(here, SIZE, { settings: SETTINGS });
    const ranks = await waitForRanks(here, SIZE);
    await waitForLog(here, 'pretrain', TRAINS);
    process.kill(ranks.get(rank)!, 'SIGUSR1');
    for (const { status, stderr } of await first.ended) assert.is(status, 85, stderr.slice(-2000));
    assertWhole(here);
    const second = await launchByVariables(here, SIZE, { settings: SETTINGS, options: ['--resume', 'auto'] });
    for (const { status, stderr } of await second.ended) assert.is(status, 0, stderr.slice(-2000));
    assert.equal(differences(await uninterrupted(), here), []);
  });
}

const missing = slurmMissing();
if (missing !== undefined) {
  console.log(`left out: preemption under Slurm (${missing})`);
} else {
  const cluster = await SlurmCluster.start({ nodes: 2 });
  test.after(() => cluster.stop());

  test('sbatch scripts/v3.sh with two tasks on two nodes: USR1, 85, queued again, resumed, equal to a whole run', async () => {
    const here = project();
    const options = ['--nodes=2', '--ntasks-per-node=1', '--cpus-per-task=1', '--gres=none', '--mem=0', '--time=10'];
    const id = await cluster.sbatch([...options, SCRIPT, 'config.yaml', ...optionsOf(SETTINGS)], { cwd: here.dir });
    await waitForLog(here, 'pretrain', TRAINS);
    await cluster.succeed('scancel', ['--signal=USR1', id]);
    await cluster.waitForOutput(id, /v3\.sh: the run was saved; job \d+ is queued again/);
    assertWhole(here);
    const job = await cluster.waitFor(id, ['COMPLETED']);
    assert.is(job.Restarts, '1');
    await assertAllGone(here, GONE_MS);
    assert.match(readFileSync(here.path('logs/v3/pretrain/p/events.jsonl'), 'utf8'), /"event":"run_resumed"/);
    assert.equal(differences(await uninterrupted(), here), []);
    assert.equal(temporaryFiles(here), []);
  });
}

test.run();
