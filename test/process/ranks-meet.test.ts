/** Ranks that cannot become one run: each is told why, by name, before the deadline. */
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { rendezvousPath } from '../../src/distributed/file-rendezvous.ts';
import type { Project } from '../e2e/project.ts';
import { assertAllGone } from './observed.ts';
import { launchByOptions, launchByVariables, rankProject } from './ranks.ts';
import { freePorts } from './waiting.ts';

const test = suite('process/ranks-meet');
const RENDEZVOUS = 70;
const GONE_MS = 10_000;
const SOON = { RELIC_RDZV_TIMEOUT: '8' };

const projects: Project[] = [];
function project(): Project {
  projects.push(rankProject());
  return projects[projects.length - 1];
}
test.after(() => {
  for (const each of projects) each.remove();
});

/** Every process is refused, and nothing was trained. @returns what all of them said */
async function refused(here: Project, ended: Promise<readonly { status: number | null; stderr: string }[]>) {
  const all = await ended;
  const said = all.map(({ stderr }) => stderr).join('\n');
  assert.equal(
    all.map(({ status }) => status),
    all.map(() => RENDEZVOUS),
    said,
  );
  await assertAllGone(here, GONE_MS);
  assert.equal(
    here.made().filter((name) => name.startsWith('models/')),
    [],
  );
  return said;
}

test('a rank that never comes is named at the deadline', async () => {
  const here = project();
  const { ended } = await launchByVariables(here, 3, { ranks: [0, 2], environment: SOON });
  assert.match(await refused(here, ended), /rank 1 of 3 has not come/);
});

test('rank 0 never comes', async () => {
  const here = project();
  const { ended } = await launchByVariables(here, 2, { ranks: [1], environment: SOON });
  assert.match(await refused(here, ended), /rank 0/);
});

test('two processes with one number: the second is told so', async () => {
  const here = project();
  const { ended } = await launchByVariables(here, 3, { ranks: [0, 1, 1], environment: SOON });
  assert.match(await refused(here, ended), /two processes say that they are rank 1/);
});

test('a file of an earlier run does not mislead the ranks', async () => {
  const here = project();
  const id = 'again';
  for (let run = 0; run < 2; run++) {
    const { ended } = await launchByOptions(here, 2, [`file:${here.dir}`, id]);
    for (const { status, stderr } of await ended) assert.is(status, 0, stderr.slice(-2000));
    // What a run leaves that was killed before it could take its address back.
    const [port] = await freePorts(1);
    const stale = { runId: id, host: '127.0.0.1', port, nonce: 'n', beat: 7, by: 'a run that was killed' };
    writeFileSync(rendezvousPath(here.dir, id), JSON.stringify(stale));
  }
});

test('a rank of another run is refused', async () => {
  const here = project();
  const [port] = await freePorts(1);
  const { ended } = await launchByOptions(here, 2, [`127.0.0.1:${port}`, 'one', 'other'], SOON);
  assert.match(await refused(here, ended), /the run's id.*'other'.*'one'/s);
});

test('a port that somebody else has', async () => {
  const here = project();
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  try {
    const { ended } = await launchByVariables(here, 2, { port, environment: SOON });
    assert.match(await refused(here, ended), new RegExp(`port ${port} of 127.0.0.1 is in use`));
  } finally {
    server.close();
  }
});

test.run();
