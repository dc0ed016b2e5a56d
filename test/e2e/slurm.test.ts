/** scripts/v3.sh with stand-ins for Slurm's commands: what it asks for, what it starts, and what it does with the status. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { finished, Project } from './project.ts';

const test = suite('e2e/slurm');
const SCRIPT = fileURLToPath(new URL('../../scripts/v3.sh', import.meta.url));

/** A project whose relic-train tells its arguments and ends with `status`, and whose Slurm runs steps at once. */
async function run(status: number, environment: Record<string, string>, ...args: string[]) {
  const project = new Project();
  try {
    const write = (name: string, text: string) => {
      mkdirSync(project.path(name, '..'), { recursive: true });
      writeFileSync(project.path(name), text, { mode: 0o755 });
    };
    write(
      'node_modules/.bin/relic-train',
      `console.log(process.argv.slice(2).join(' ')); process.exitCode = ${status}`,
    );
    write(
      'bin/srun',
      '#!/bin/sh\necho "srun $*" >> calls\nwhile case "$1" in --*) true ;; *) false ;; esac; do shift; done\nexec "$@"\n',
    );
    write('bin/scontrol', '#!/bin/sh\necho "scontrol $*" >> calls\n');
    const path = `${project.path('bin')}:${process.env.PATH}`;
    const ended = await finished(project.spawn('bash', [SCRIPT, ...args], { PATH: path, ...environment }));
    const calls = existsSync(project.path('calls'))
      ? readFileSync(project.path('calls'), 'utf8').trim().split('\n')
      : [];
    return { ...ended, calls };
  } finally {
    project.remove();
  }
}

const JOB = { SLURM_JOB_ID: '17', SLURM_CPUS_PER_TASK: '4' };

test('a saved run is queued again; the step is named after its job and resumes', async () => {
  const { status, stdout, calls } = await run(85, JOB, 'my.yaml');
  assert.is(status, 85);
  assert.is(stdout.trim(), '--config my.yaml --run-id job_17 --resume auto');
  assert.match(calls[0], /^srun --ntasks=1 --cpus-per-task=4 --kill-on-bad-exit=1 node /);
  assert.is(calls[1], 'scontrol requeue 17');
});

test('a run that is done, or failed, is not', async () => {
  for (const status of [0, 3, 130]) {
    const ended = await run(status, JOB);
    assert.is(ended.status, status);
    assert.equal(ended.calls.length, 1);
    assert.match(ended.stdout, /^--config configs\/v3\.yaml /);
  }
});

test('further options come last, where they win', async () => {
  const { stdout } = await run(0, JOB, 'my.yaml', '--resume', 'models/v3/pretrain/job_9');
  assert.match(stdout, /--resume auto --resume models\/v3\/pretrain\/job_9\n$/);
});

test('without Slurm the program runs alone', async () => {
  const { status, stdout, calls } = await run(85, { SLURM_JOB_ID: '' }, 'my.yaml', '--dry-run');
  assert.equal([status, stdout.trim(), calls], [85, '--config my.yaml --dry-run', []]);
});

test('it asks Slurm for the signal ahead of the time limit, to steps', () => {
  const text = readFileSync(join(SCRIPT), 'utf8');
  assert.match(text, /^#SBATCH --signal=USR1@\d+$/m);
  assert.match(text, /^#SBATCH --requeue$/m);
  assert.match(text, /^#SBATCH --open-mode=append$/m);
});

test.run();
