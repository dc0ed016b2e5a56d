/** scripts/v3.sh under a real Slurm, one task: signals, requeue, and a run that goes on as if nothing had happened. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readManifest } from '../../src/artifacts/manifest.ts';
import { finished, type Project } from '../e2e/project.ts';
import { differences, eventfulProject } from '../resume/check.ts';
import { assertAllGone, assertWhole, installProgram, lastCheckpoints, temporaryFiles, waitForLog } from './observed.ts';
import { runningWith, SlurmCluster, slurmMissing } from './slurm-cluster.ts';

const test = suite('process/slurm');
const SCRIPT = fileURLToPath(new URL('../../scripts/v3.sh', import.meta.url));
/** What the script asks for, made to fit the cluster. */
const ONE_TASK = ['--ntasks-per-node=1', '--cpus-per-task=1', '--gres=none', '--mem=0', '--time=10'];
const NO_IDS = ['pretrain', 'finetune', 'eval'].map((each) => `run_config.${each}_run_id=null`);
const SOME_SECONDS = ['training_config.epochs=120', 'training_config.early_stopping_patience=1000'];
const LONG = [
  'training_config.epochs=100000',
  'training_config.early_stopping_patience=100000',
  'run_config.save_best_only=true',
];
const set = (settings: readonly string[]) => settings.flatMap((each) => ['--set', each]);
/** An epoch has come to its end, so that there is something to lose. */
const TRAINS = /"event":"epoch_end"|"epoch":3/;

const projects: Project[] = [];
function project(): Project {
  const made = eventfulProject('auto');
  projects.push(made);
  installProgram(made);
  return made;
}

const missing = slurmMissing();
if (missing !== undefined) {
  console.log(`left out: real Slurm (${missing})`);
  test('there is no Slurm on this machine, and that is told', () => {
    assert.is(slurmMissing(), missing);
  });
} else {
  const cluster = await SlurmCluster.start();
  test.after(async () => {
    await cluster.stop();
    for (const each of projects) each.remove();
    assert.equal(runningWith(cluster.dir), [], 'no daemon and no job lives on');
    assert.not.ok(existsSync(cluster.dir));
  });

  const submit = (here: Project, options: readonly string[], settings: readonly string[]) =>
    cluster.sbatch([...ONE_TASK, ...options, SCRIPT, 'config.yaml', ...set([...NO_IDS, ...settings])], {
      cwd: here.dir,
    });
  const log = (here: Project, id: string, stage = 'pretrain') =>
    readFileSync(here.path('logs/v3', stage, `job_${id}`, 'events.jsonl'), 'utf8');

  // Slurm looks at time limits twice a minute, so this job is on its way while the first test runs.
  const limited = project();
  const limitedJob = submit(limited, ['--time=1', '--signal=USR1@30'], LONG);

  test('USR1 saves, the job is queued again, goes on in its directories, and every file is as of a whole run', async () => {
    const here = project();
    const id = await submit(here, [], SOME_SECONDS);
    await waitForLog(here, 'pretrain', TRAINS);
    await cluster.succeed('scancel', ['--signal=USR1', id]);
    await cluster.waitForOutput(id, /v3\.sh: the run was saved; job \d+ is queued again/);
    const saved = readManifest(here.path('logs/v3/pretrain', `job_${id}`));
    assert.is(saved?.status, 'interrupted');
    assertWhole(here);
    const job = await cluster.waitFor(id, ['COMPLETED']);
    assert.is(job.Restarts, '1');
    assert.match(cluster.output(id), /v3\.sh: job \d+, started again 1 time\(s\): srun --ntasks=1 /);
    assert.match(log(here, id), /"event":"run_resumed"/);
    await assertAllGone(here, 10_000);

    const whole = project();
    const args = ['--config', 'config.yaml', '--run-id', `job_${id}`, ...set([...NO_IDS, ...SOME_SECONDS])];
    const { status, stderr } = await whole.run(...args);
    assert.is(status, 0, stderr);
    assert.equal(differences(whole, here), []);
    assert.equal(temporaryFiles(here), []);
  });

  test('ahead of the time limit Slurm itself sends USR1, and the job goes on after it', async () => {
    const id = await limitedJob;
    await cluster.waitForOutput(id, /v3\.sh: the run was saved; job \d+ is queued again/);
    await cluster.waitFor(id, ['RUNNING'], ({ Restarts }) => Number(Restarts) > 0);
    await waitForLog(limited, 'pretrain', /"event":"run_resumed"/);
    await cluster.succeed('scancel', [id]);
    await assertAllGone(limited, 30_000);
    assertWhole(limited);
  });

  test('scancel, whose TERM comes to the task too: saved, not queued again, and nothing lives on', async () => {
    const here = project();
    const id = await submit(here, [], LONG);
    await waitForLog(here, 'pretrain', TRAINS);
    await cluster.succeed('scancel', [id]);
    const job = await cluster.waitFor(id, ['CANCELLED']);
    assert.is(job.Restarts, '0');
    await assertAllGone(here, 30_000);
    assert.is(readManifest(here.path('logs/v3/pretrain', `job_${id}`))?.status, 'interrupted');
    assert.match(log(here, id), /"event":"interrupted"/);
    assert.is(lastCheckpoints(here).length, 1);
    assertWhole(here);
    assert.equal(temporaryFiles(here), []);
  });

  test('a run that fails is not queued again, and the job has its status', async () => {
    const here = project();
    const id = await submit(here, [], ['data_config.dataloader.train_dataset=pairs/none.txt']);
    const job = await cluster.waitFor(id, ['FAILED']);
    assert.equal([job.ExitCode, job.Restarts], ['3:0', '0'], cluster.output(id));
  });

  test('a batch script that starts the program without srun: one process, for one task', async () => {
    const here = project();
    const program = 'exec node_modules/.bin/relic-train --config config.yaml --set training_config.epochs=1';
    const id = await cluster.sbatch(['--ntasks=1', '--wrap', program], { cwd: here.dir });
    await cluster.waitFor(id, ['COMPLETED']);
    assert.ok(existsSync(here.path('models/v3/pretrain/p/best_model.pth')), cluster.output(id));
  });

  test('srun from a terminal: the script sees that it is a rank, and starts no other', async () => {
    const here = project();
    const args = ['--ntasks=1', '--mem=0', SCRIPT, 'config.yaml', '--dry-run'];
    const { status, stderr } = await finished(cluster.start('srun', args, { cwd: here.dir }));
    assert.is(status, 0, stderr);
    assert.not.match(stderr, /v3\.sh:/);
  });
}

test.run();
