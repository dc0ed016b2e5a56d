/** scripts/v3.sh with stand-ins for launchers and GPUs: what it asks for, what it starts, what it does with the status. */
import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { finished, Project } from './project.ts';

const test = suite('e2e/slurm');
const SCRIPT = fileURLToPath(new URL('../../scripts/v3.sh', import.meta.url));
const STEP =
  '#!/bin/sh\necho "srun $*" >> calls\nwhile case "$1" in --*) true ;; *) false ;; esac; do shift; done\nexec "$@"\n';

interface Machine {
  /** With which the program ends. */
  readonly status?: number;
  readonly gpus?: number;
  readonly mpirun?: boolean;
}

/** A project whose relic-train tells its arguments, on a machine whose Slurm runs steps at once. */
async function run(
  { status = 0, gpus = 0, mpirun = false }: Machine,
  environment: Record<string, string>,
  ...args: string[]
) {
  const project = new Project();
  try {
    const write = (name: string, text: string) => project.write(name, text, 0o755);
    write(
      'node_modules/.bin/relic-train',
      `console.log(process.argv.slice(2).join(' ')); process.exitCode = ${status}`,
    );
    write('bin/srun', STEP);
    write('bin/scontrol', '#!/bin/sh\necho "scontrol $*" >> calls\n');
    if (mpirun) write('bin/mpirun', '#!/bin/sh\necho "mpirun $*" >> calls\nshift 2\nexec "$@"\n');
    const list = Array.from({ length: gpus }, (_, i) => `GPU ${i}: NVIDIA L40 (UUID: GPU-${i})`);
    if (gpus > 0) write('bin/nvidia-smi', `#!/bin/sh\ncat <<'END'\n${list.join('\n')}\nEND\n`);
    // A PATH of its own: this machine may have an mpirun, or GPUs.
    for (const tool of ['bash', 'sh', 'cat', 'grep', 'nproc']) symlinkSync(whereIs(tool), project.path('bin', tool));
    symlinkSync(process.execPath, project.path('bin/node'));
    const variables = { PATH: project.path('bin'), ...environment };
    const ended = await finished(project.spawn('bash', [SCRIPT, ...args], variables));
    const calls = existsSync(project.path('calls'))
      ? readFileSync(project.path('calls'), 'utf8').trim().split('\n')
      : [];
    return { ...ended, calls };
  } finally {
    project.remove();
  }
}

function whereIs(tool: string): string {
  const path = ['/usr/bin', '/bin', '/usr/local/bin'].map((folder) => `${folder}/${tool}`).find(existsSync);
  if (path === undefined) throw new Error(`no ${tool} on this machine`);
  return path;
}

const JOB = { SLURM_JOB_ID: '17', SLURM_NTASKS: '4', SLURM_TASKS_PER_NODE: '4', SLURM_CPUS_PER_TASK: '8' };

test('a saved run is queued again; the step has the tasks of the job, is named after it, and resumes', async () => {
  const { status, stdout, calls } = await run({ status: 85 }, JOB, 'my.yaml');
  assert.is(status, 85);
  assert.is(stdout.trim(), '--config my.yaml --run-id job_17 --resume auto');
  assert.match(calls[0], /^srun --ntasks=4 --cpus-per-task=8 --kill-on-bad-exit=1 node /);
  assert.is(calls[1], 'scontrol requeue 17');
});

test('a run that is done, or failed, is not', async () => {
  for (const status of [0, 3, 71, 130]) {
    const ended = await run({ status }, JOB);
    assert.is(ended.status, status);
    assert.equal(ended.calls.length, 1);
    assert.match(ended.stdout, /^--config configs\/v3\.yaml /);
  }
});

test('further options come last, where they win', async () => {
  const { stdout } = await run({}, JOB, 'my.yaml', '--resume', 'models/v3/pretrain/job_9');
  assert.match(stdout, /--resume auto --resume models\/v3\/pretrain\/job_9\n$/);
});

test('other GPUs than tasks on a node are a warning; as many, or none, are not', async () => {
  const two = { ...JOB, SLURM_NTASKS: '7', SLURM_TASKS_PER_NODE: '4(x1),3' };
  for (const [gpus, job] of [
    [0, JOB],
    [4, JOB],
    [4, two],
  ] as const) {
    assert.not.match((await run({ gpus }, job)).stderr, /WARNING/);
  }
  const { stderr } = await run({ gpus: 2 }, JOB);
  assert.match(stderr, /WARNING: 4 task\(s\) on a node with 2 GPU\(s\).*--ntasks-per-node=2/);
  assert.match((await run({ gpus: 4 }, { ...JOB, CUDA_VISIBLE_DEVICES: '0,1' })).stderr, /WARNING: .* 2 GPU/);
});

test('without Slurm the program runs alone, on whatever GPU there is', async () => {
  for (const gpus of [0, 1]) {
    const { status, stdout, calls } = await run({ status: 85, gpus, mpirun: true }, {}, 'my.yaml', '--dry-run');
    assert.equal([status, stdout.trim(), calls], [85, '--config my.yaml --dry-run', []]);
  }
});

test('without Slurm mpirun starts a rank for each GPU; without mpirun there is one, and a warning', async () => {
  const many = await run({ gpus: 3, mpirun: true }, {}, 'my.yaml');
  assert.equal([many.stdout.trim(), many.calls.length], ['--config my.yaml', 1]);
  assert.match(many.calls[0], /^mpirun -n 3 node /);
  const one = await run({ gpus: 3 }, {}, 'my.yaml');
  assert.equal([one.stdout.trim(), one.calls], ['--config my.yaml', []]);
  assert.match(one.stderr, /WARNING: there is no mpirun.* one of the 3/);
  const visible = await run({ gpus: 3, mpirun: true }, { CUDA_VISIBLE_DEVICES: '2' }, 'my.yaml');
  assert.equal(visible.calls, []);
  assert.not.match(visible.stderr, /WARNING/);
});

test('what a launcher started is a rank, and starts nothing more', async () => {
  for (const name of ['OMPI_COMM_WORLD_RANK', 'PMI_RANK', 'RANK']) {
    const { stdout, calls } = await run({ gpus: 2, mpirun: true }, { [name]: '1' }, 'my.yaml');
    assert.equal([stdout.trim(), calls], ['--config my.yaml', []], name);
  }
  for (const name of ['OMPI_COMM_WORLD_RANK', 'SLURM_STEP_ID']) {
    const inJob = await run({ status: 85 }, { ...JOB, [name]: '1' }, 'my.yaml');
    assert.is(inJob.status, 85);
    assert.equal([inJob.stdout.trim(), inJob.calls], ['--config my.yaml --run-id job_17 --resume auto', []], name);
  }
});

test('it asks Slurm for a task a GPU, and for the signal ahead of the time limit, to steps', () => {
  const text = readFileSync(SCRIPT, 'utf8');
  assert.match(text, /^#SBATCH --signal=USR1@\d+$/m);
  for (const line of ['ntasks-per-node=4', 'gres=gpu:4', 'cpus-per-task=8', 'requeue', 'open-mode=append']) {
    assert.match(text, new RegExp(`^#SBATCH --${line}$`, 'm'));
  }
});

test.run();
