/** Ranks that are told to end, and a disk that is full: all end, and the last checkpoint is whole. */
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readManifest } from '../../src/artifacts/manifest.ts';
import { project, removeProjects } from './good-runs.ts';
import { byVariables, NAMED_MS, SETTINGS, SIZE, TRAINS } from './harm.ts';
import {
  assertAllGone,
  assertNamed,
  assertWhole,
  failures,
  temporaryFiles,
  waitForLog,
  waitForRanks,
} from './observed.ts';
import { launchByVariables } from './ranks.ts';

const test = suite('process/ranks-stopping');
const PEER_FAILED = 71;
test.after(removeProjects);

test('SIGTERM to all: all end, the run is saved', async () => {
  const here = project();
  const { children, ended } = await byVariables(here);
  await waitForRanks(here, SIZE);
  await waitForLog(here, 'pretrain', TRAINS);
  for (const child of children) child.kill('SIGTERM');
  for (const { status, stderr } of await ended) assert.is(status, 85, stderr.slice(-2000));
  await assertAllGone(here, NAMED_MS);
  assert.is(readManifest(here.path('logs/v3/pretrain/p'))?.status, 'interrupted');
  assertWhole(here);
  assert.equal([temporaryFiles(here), failures(here).size], [[], 0]);
});

test('no room for a checkpoint: rank 0 says so, the others name it, and the one before is whole', async () => {
  const here = project();
  const first = await byVariables(here);
  await waitForLog(here, 'pretrain', TRAINS);
  for (const child of first.children) child.kill('SIGTERM');
  await first.ended;
  // A file size limit stands for a full disk: the weights fit, the optimizer's moments do not.
  const weights = readFileSync(here.path('models/v3/pretrain/p/last/model.pth')).length;
  const limit = `ulimit -f ${Math.ceil(weights / 1024) + 2}; exec "$@"`;
  const wrap = (program: string, args: readonly string[]) => ({
    program: 'bash',
    args: ['-c', limit, 'sh', program, ...args],
    environment: {},
  });
  const options = ['--resume', 'auto'];
  const { ended } = await launchByVariables(here, SIZE, { settings: SETTINGS, options, wrap });
  const [full, ...others] = await ended;
  assert.is(full.status, 5, full.stderr.slice(-2000));
  assert.match(full.stderr, /RELIC_NO_SPACE/);
  for (const { status } of others) assert.is(status, PEER_FAILED);
  await assertAllGone(here, NAMED_MS);
  assertNamed(here, [1, 2], { rank: 0 });
  assertWhole(here);
});

test.run();
