/** Ranks and launchers that die under every launcher there is: no rank lives on, and survivors name the dead one. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { presentLaunchers } from '../distributed/launchers.ts';
import type { Started } from '../distributed/start-ranks.ts';
import { project, removeProjects } from './good-runs.ts';
import { harmed, NAMED_MS, SETTINGS, SIZE, TRAINS, type Way } from './harm.ts';
import { assertAllGone, assertWhole, waitForLog, waitForRanks } from './observed.ts';
import { launch } from './ranks.ts';
import { SlurmCluster, slurmMissing } from './slurm-cluster.ts';

const test = suite('process/ranks-launcher-death');
test.after(removeProjects);

const missing = slurmMissing();
const cluster = missing === undefined ? await SlurmCluster.start({ nodes: 2 }) : undefined;
if (cluster === undefined) console.log(`left out: deaths under srun (${missing})`);
test.after(() => cluster?.stop());

const ways: [name: string, way: Way, kill: (started: Started) => number][] = presentLaunchers().map(
  ({ name, command }) => [
    `${name}'s mpirun`,
    async (here) => launch(here, (program, args) => command(SIZE, program, args), SETTINGS),
    ({ children }) => children[0].pid!,
  ],
);
if (cluster !== undefined) {
  const step = [`--ntasks=${SIZE}`, '--nodes=2', '--mem=0'];
  ways.push([
    'srun',
    async (here) => launch(here, (program, args) => cluster.srun(step, program, args), SETTINGS),
    ({ children }) => children[0].pid!,
  ]);
}

for (const [name, way, launcherOf] of ways) {
  // Hydra kills the others before they can say anything.
  const named = !name.startsWith('MPICH');
  test(`under ${name}, rank 1 is killed`, () => harmed(way, 1, 'SIGKILL', named));
  test(`under ${name}, rank 0 is stopped`, () => harmed(way, 0, 'SIGSTOP'));

  test(`${name} itself is killed: no rank lives on`, async () => {
    const here = project();
    const started = await way(here);
    await waitForRanks(here, SIZE);
    await waitForLog(here, 'pretrain', TRAINS);
    process.kill(launcherOf(started), 'SIGKILL');
    await assertAllGone(here, NAMED_MS);
    assertWhole(here);
  });
}

test('no launcher is here, or ranks died under each', () => {
  assert.is(ways.length, presentLaunchers().length + (slurmMissing() === undefined ? 1 : 0));
});

test.run();
