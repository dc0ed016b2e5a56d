/**
 * The five whole runs of the original, repeated end to end on every engine present; two ranks are simulated in one process, and started by
 * each launcher there is and by none.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { listEngines } from '../../src/engine/select.ts';
import { goldenDir } from '../golden.ts';
import { compareRun, type Launch, launchesHere, runGolden } from './compare.ts';

const test = suite('golden runs');
const pipeline = join(goldenDir(), 'pipeline');
const pairsDir = join(pipeline, 'pairs');
const work = mkdtempSync(join(tmpdir(), 'relic-golden-'));
test.after(() => rmSync(work, { recursive: true, force: true }));

const TWO_RANKS = 'ddp_two_ranks';
const RUNS = ['full_pipeline', 'ohem_unfreeze_onecycle', 'train_only_early_stop', 'eval_only', TWO_RANKS];
const engines = (await listEngines()).filter(({ available }) => available).map(({ name }) => name);

async function assertReproduced(name: string, engine: string, launch: Launch): Promise<void> {
  const workDir = join(work, engine, launch, name);
  const { checks, ranks } = await runGolden(join(pipeline, name), { pairsDir, workDir, engine, launch });
  assert.is(ranks, name === TWO_RANKS ? 2 : 1);
  assert.ok(checks.length >= 5, `only ${checks.length} checks`);
  assert.equal(
    checks.filter(({ ok }) => !ok),
    [],
  );
}

for (const [name, engine] of RUNS.flatMap((run) => engines.map((each) => [run, each]))) {
  test(`${name} is reproduced by the ${engine} engine`, () => assertReproduced(name, engine, 'simulated'));
}

for (const launch of (await launchesHere('native')).slice(1)) {
  test(`${TWO_RANKS} is reproduced by two processes: ${launch}`, () => assertReproduced(TWO_RANKS, 'native', launch));
}

test('the comparison tells two different runs apart', () => {
  const { checks } = compareRun(join(pipeline, 'full_pipeline'), join(pipeline, 'ddp_two_ranks'));
  const failed = checks.filter(({ ok }) => !ok).map(({ name }) => name.replace(/.*\/([^/]+: )/, '$1'));
  for (const part of ['log.log: lines', 'log.log: numbers', 'training_step.csv: losses']) {
    assert.ok(failed.includes(part), `${part} passed`);
  }
  assert.ok(failed.some((name) => /weights/.test(name)));
});

test('a run that wrote nothing fails every check', () => {
  const { checks } = compareRun(join(pipeline, 'full_pipeline'), join(work, 'nothing'));
  assert.ok(checks.length > 5 && checks.every(({ ok, detail }) => !ok && detail === 'not written'));
});

test.run();
