/** A real Slurm of two nodes starts real processes, which find out their ranks and meet. */
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { expandHostlist } from '../../src/distributed/hostlist.ts';
import { NODE_ARGS } from '../e2e/project.ts';
import { SlurmCluster, slurmMissing } from '../process/slurm-cluster.ts';
import { presentLaunchers } from './launchers.ts';
import { MEETING_RANK, met, start } from './meeting.ts';

const test = suite('distributed/slurm');
const DOCTOR = [...NODE_ARGS, 'doctor', '--ranks'];

const missing = slurmMissing();
if (missing !== undefined) {
  console.log(`left out: ranks of Slurm (${missing})`);
  test('no Slurm is installed, so there is none to start ranks', () => {
    assert.is(slurmMissing(), missing);
  });
} else {
  const cluster = await SlurmCluster.start({ nodes: 2 });
  test.after(() => cluster.stop());

  const steps: readonly [options: string, source: string, local: readonly string[], host: RegExp][] = [
    ['--nodes=1 --ntasks=2 --mpi=none', 'srun', ['0 of 2', '1 of 2'], /^127\.0\.0\.1$/],
    ['--nodes=1 --ntasks=2 --mpi=pmi2', 'srun (PMI)', ['0 of 2', '1 of 2'], /^127\.0\.0\.1$/],
    ['--nodes=1 --ntasks=2 --mpi=pmix', 'srun', ['0 of 2', '1 of 2'], /^127\.0\.0\.1$/],
    [
      '--nodes=2 --ntasks=4 --distribution=plane=3 --mpi=none',
      'srun',
      ['0 of 3', '1 of 3', '2 of 3', '0 of 1'],
      /^127\.0\.0\.1$/,
    ],
    ['--nodes=2 --ntasks=3 --distribution=cyclic --mpi=none', 'srun', ['0 of 2', '0 of 1', '1 of 2'], /^127\.0\.0\.1$/],
    ['--nodes=2 --ntasks=3 --mpi=pmi2', 'srun (PMI)', ['0 of 2', '1 of 2', '0 of 1'], /^[\d.]+$/],
  ];
  for (const [options, source, local, host] of steps) {
    test(`srun ${options}`, async () => {
      const ranks = await met([cluster.srun(options.split(' '), process.execPath, MEETING_RANK)]);
      const [{ runId, port }] = ranks;
      assert.match(runId, /^\d+\.0\.0$/);
      for (const [rank, seen] of ranks.entries()) {
        const { localRank, localSize, ...rest } = seen;
        assert.is(`${localRank} of ${localSize}`, local[rank]);
        const heard = rank === 0 ? local.slice(1).map((_, i) => `${i + 1} of ${runId}`) : [];
        assert.equal(rest, { rank, size: local.length, source, runId, host: ranks[0].host, port, heard });
      }
      assert.match(ranks[0].host, host);
      assert.is(ranks.length, local.length);
    });
  }

  test('a batch script that starts no step is refused; an mpirun in it is not, and goes before Slurm', async () => {
    const [mpirun] = presentLaunchers().filter(({ name }) => name === 'MPICH');
    const output = `${cluster.dir}/batch.out`;
    const commands = [
      { program: process.execPath, args: DOCTOR },
      ...(mpirun ? [mpirun.command(2, process.execPath, DOCTOR)] : []),
    ];
    const script = commands.map(({ program, args }) => [program, ...args].join(' ')).join('; ');
    const args = ['--wait', '--ntasks=2', `--output=${output}`, '--wrap', script];
    await start({ program: 'sbatch', args, environment: cluster.environment });
    const seen = readFileSync(output, 'utf8');
    assert.match(seen, /\[rank \?\] contradiction: Slurm was asked for 2 tasks, but srun started none/);
    if (mpirun === undefined) return;
    for (const rank of [0, 1]) assert.match(seen, new RegExp(`\\[rank ${rank} of 2\\] source: mpirun \\(MPICH`));
  });

  test('it reads hostlists as we do', async () => {
    for (const list of ['n1', 'n[1-2],gpu[003-005,9]', 'n[08-11]', 'n[9-11]', 'a,b']) {
      const names = await cluster.succeed('scontrol', ['show', 'hostnames', list]);
      assert.equal(names.split('\n'), expandHostlist(list));
    }
  });
}

test.run();
