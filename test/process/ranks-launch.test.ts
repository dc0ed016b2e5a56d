/** Whole runs of several ranks that mpirun starts, or nobody: they give what the same ranks in one process give. */
import { suite } from 'uvu';
import { presentLaunchers } from '../distributed/launchers.ts';
import { assertGood, project, removeProjects } from './good-runs.ts';
import { launch, launchByVariables } from './ranks.ts';

const test = suite('process/ranks-launch');
test.after(removeProjects);

for (const size of [2, 3]) {
  test(`${size} ranks that are told their numbers by variables`, async () => {
    const here = project();
    await assertGood(here, size, await launchByVariables(here, size));
  });
}

const launchers = presentLaunchers();
for (const { name, command } of launchers) {
  // MPICH's ranks spin while they wait, which more ranks than cores do not bear.
  for (const size of name === 'Open MPI' ? [2, 4] : [2]) {
    test(`${size} ranks of ${name}'s mpirun`, async () => {
      const here = project();
      await assertGood(
        here,
        size,
        launch(here, (program, args) => command(size, program, args), []),
      );
    });
  }
}
for (const name of ['Open MPI', 'MPICH']) {
  if (!launchers.some((each) => each.name === name)) console.log(`left out: mpirun of ${name} (not installed)`);
}

test.run();
