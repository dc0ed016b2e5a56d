/** Whole runs of several ranks in a real Slurm of two nodes: they give what the same ranks in one process give. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { presentLaunchers } from '../distributed/launchers.ts';
import { assertGood, project, removeProjects } from './good-runs.ts';
import { launch } from './ranks.ts';
import { SlurmCluster, slurmMissing } from './slurm-cluster.ts';
import { freePorts } from './waiting.ts';

const test = suite('process/ranks-slurm');
const RENDEZVOUS = 70;
test.after(removeProjects);

const missing = slurmMissing();
if (missing !== undefined) {
  console.log(`left out: ranks of srun (${missing})`);
  test('there is no Slurm on this machine, and that is told', () => {
    assert.is(slurmMissing(), missing);
  });
} else {
  const cluster = await SlurmCluster.start({ nodes: 2 });
  test.after(() => cluster.stop());

  for (const [size, options] of [
    [2, '--nodes=1 --mpi=none'],
    [2, '--nodes=2 --mpi=none'],
    [2, '--nodes=2 --mpi=pmi2'],
    // Two nodes on one machine would share a folder of the PMIx plugin.
    [2, '--nodes=1 --mpi=pmix'],
    [4, '--nodes=2 --distribution=plane=3 --mpi=none'],
    [3, '--nodes=2 --distribution=cyclic --mpi=none'],
  ] as const) {
    test(`srun --ntasks=${size} ${options}`, async () => {
      const here = project();
      const all = [`--ntasks=${size}`, '--mem=0', ...options.split(' ')];
      await assertGood(
        here,
        size,
        launch(here, (program, args) => cluster.srun(all, program, args), []),
      );
    });
  }

  test("torchrun's variables inside srun go before Slurm's", async () => {
    const here = project();
    const [port] = await freePorts(1);
    const exports = `export RANK=$SLURM_PROCID WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=${port}; exec "$@"`;
    const step = (program: string, args: readonly string[]) =>
      cluster.srun(['--ntasks=2', '--mem=0'], 'sh', ['-c', exports, 'sh', program, ...args]);
    await assertGood(here, 2, launch(here, step, []));
  });

  for (const { name, command } of presentLaunchers()) {
    test(`${name}'s mpirun inside sbatch`, async () => {
      const here = project();
      const program = here.path('node_modules/.bin/relic-train');
      const line = command(2, program, ['--config', 'config.yaml']);
      const id = await cluster.sbatch(['--ntasks=2', '--mem=0', '--wrap', [line.program, ...line.args].join(' ')], {
        cwd: here.dir,
        environment: line.environment,
      });
      await cluster.waitFor(id, ['COMPLETED']);
      await assertGood(here, 2, { children: [], ended: Promise.resolve([]) });
    });
  }

  test('a batch script for two tasks that starts the program without srun is refused at once', async () => {
    const here = project();
    const line = 'node_modules/.bin/relic-train --config config.yaml';
    const id = await cluster.sbatch(['--ntasks=2', '--mem=0', '--wrap', line], { cwd: here.dir });
    const job = await cluster.waitFor(id, ['FAILED']);
    assert.is(job.ExitCode, `${RENDEZVOUS}:0`);
    assert.match(cluster.output(id), /\[RELIC_RANKS\].*srun started none/s);
    assert.equal(
      here.made().filter((each) => each.startsWith('models')),
      [],
    );
  });
}

test.run();
