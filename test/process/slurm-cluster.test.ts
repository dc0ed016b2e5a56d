/** The tests' Slurm ends with its test, also when that is killed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runningWith, slurmMissing } from './slurm-cluster.ts';
import { until } from './waiting.ts';

const test = suite('process/slurm-cluster');
const CHILD = fileURLToPath(new URL('./abandoned-cluster.ts', import.meta.url));

test('daemons, jobs and files of a test that was killed are gone soon, where there is a Slurm', async () => {
  if (slurmMissing() !== undefined) return;
  const args = ['--import', import.meta.resolve('tsx'), CHILD];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [chunk] = await once(child.stdout, 'data');
  const dir = String(chunk).trim();
  assert.ok(existsSync(dir));
  // The controller and its helper, two daemons of nodes, the batch script and the step.
  assert.ok(runningWith(dir).length > 4, String(runningWith(dir)));
  child.kill('SIGKILL');
  await until(
    () => `${dir} is gone, and ${runningWith(dir)} have ended`,
    60_000,
    () => !existsSync(dir) && runningWith(dir).length === 0,
  );
});

test.run();
