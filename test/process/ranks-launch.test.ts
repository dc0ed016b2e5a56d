/** Whole runs of several ranks that mpirun starts, or nobody: they give what the same ranks in one process give. */
import { existsSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
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

test('ranks that are asked to log do, each in a file of its own, but for rank 0, and change nothing', async () => {
  const here = project();
  await assertGood(here, 2, await launchByVariables(here, 2, { environment: { RELIC_RANK_LOG: 'ranks' } }));
  assert.not.ok(existsSync(here.path('ranks/rank.0.log')));
  const text = readFileSync(here.path('ranks/rank.1.log'), 'utf8');
  assert.match(text, /INFO relic\.v3\.pretrain\.p\.rank1 - pipeline_bootstrap .* rank=1 /);
  assert.match(text, /rank1 - Epoch 3 step \d+\/\d+ \| running_train_loss=.*rank1 - epoch_complete \| epoch=3 /s);
  assert.match(text, /relic\.v3\.evaluate\.e\.rank1 - stage_complete /);
  assert.not.match(text, /checkpoint_saved|training_csv_row_written/);
});

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
