/** Ending a process, a worker or a model at any moment of a step: each in a process of its own, which must not crash. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { encodeGradients, encodeProgram } from '../../../src/engine/native/encode.ts';
import { differentiate } from '../../../src/model/autodiff.ts';
import { buildV3 } from '../../../src/model/v3.ts';
import { droppingV3, NO_LOSS_OPTIONS } from '../../model/v3-config.ts';
import { nativeBinary } from '../engines.ts';

const test = suite('engine/native/lifecycle');
const CHILD = fileURLToPath(new URL('./lifecycle-child.mjs', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'relic-'));
test.after(() => rmSync(work, { recursive: true, force: true }));

const file = join(work, 'program.json');
const config = { ...droppingV3(0.1), input_dim: 32, d_model: 64, n_heads: 4 };
const program = buildV3(config, NO_LOSS_OPTIONS);
const gradients = encodeGradients(
  program,
  differentiate(program, () => true),
);
const words = { program: [...encodeProgram(program)], gradients: [...gradients] };
writeFileSync(file, JSON.stringify({ binary: nativeBinary?.path, dim: config.input_dim, ...words }));

interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What the child told, parsed. */
  readonly told: unknown;
  readonly stderr: string;
}

function run(mode: string): Promise<Ended> {
  const child = spawn(process.execPath, ['--expose-gc', CHILD, file, mode], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  return new Promise((resolve) =>
    child.on('close', (status, signal) =>
      resolve({ status, signal, told: stdout === '' ? undefined : JSON.parse(stdout), stderr }),
    ),
  );
}

/** Runs a mode that must end well, and returns what it told. */
async function told(mode: string): Promise<unknown> {
  const ended = await run(mode);
  assert.equal([ended.status, ended.signal, ended.stderr], [0, null, ''], mode);
  return ended.told;
}

if (nativeBinary === undefined) {
  test('no binary of the native engine is here, so there is nothing to end', () => {
    assert.is(nativeBinary, undefined);
  });
} else {
  test('dispose while training: the step rejects, later calls do, nothing stays', async () => {
    const expected = { running: 'RELIC_ENGINE_DISPOSED', later: 'RELIC_ENGINE_DISPOSED', memory: 0 };
    assert.equal(await told('disposeWhileTraining'), expected);
  });

  test('dispose does not wait for the end of a step: a shorter one that began later ends later', async () => {
    assert.equal(await told('disposeCancels'), ['cancelled', 'finished']);
  });

  test('dispose while evaluating', async () => {
    assert.equal(await told('disposeWhileEvaluating'), { running: 'RELIC_ENGINE_DISPOSED', memory: 0 });
  });

  test('dispose while saving: a state is read between two steps, and not once the model is gone', async () => {
    const gone = ['RELIC_ENGINE_DISPOSED', 'RELIC_ENGINE_DISPOSED'];
    const expected = { during: 'RELIC_ENGINE_BUSY', step: 'fulfilled', before: 'returned', later: gone };
    assert.equal(await told('disposeWhileSaving'), expected);
  });

  for (const mode of ['exitWhileTraining', 'exitWhileEvaluating', 'exitAtOnce', 'exitWhileWorkerTrains']) {
    test(`${mode}: the process ends with its own status`, async () => {
      for (let i = 0; i < 4; i++) {
        const { status, signal, stderr } = await run(mode);
        assert.equal([status, signal, stderr], [7, null, '']);
      }
    });
  }

  test('a process that has nothing else to do waits for the step, and not for an idle model', async () => {
    assert.equal(await told('endWhileTraining'), { finished: true });
    assert.is(await told('endWhileIdle'), undefined);
  });

  test('an uncaught error while training ends the process as it does anywhere', async () => {
    const { status, signal, stderr } = await run('throwWhileTraining');
    assert.equal([status, signal], [1, null]);
    assert.match(stderr, /on purpose/);
  });

  test('a worker that is terminated while training leaves the process and the engine usable', async () => {
    assert.equal(await told('terminateWorker'), { alive: true });
  });

  test('an uncaught error in a worker that trains is told to the process, which goes on', async () => {
    assert.equal(await told('throwInWorker'), { error: 'on purpose' });
  });

  test('timers run while a step does', async () => {
    const { turns } = (await told('mainThreadStaysFree')) as { turns: number };
    assert.ok(turns > 1, String(turns));
  });

  if (process.platform === 'linux') {
    test('models that were forgotten are collected, with their threads', async () => {
      const counts = (await told('garbage')) as number[];
      assert.ok(counts[2] <= counts[0] + 3, JSON.stringify(counts));
    });

    test('ten thousand steps leak nothing', async () => {
      const [early, late] = (await told('manySteps')) as { rss: number; bytes: number; threads: number }[];
      assert.equal([late.bytes, late.threads], [early.bytes, early.threads]);
      // 100 bytes a step would be 0.8 MB; the heap of JavaScript itself moves by more.
      assert.ok(late.rss - early.rss < 8e6, `${late.rss - early.rss} bytes more`);
    });

    test('the garbage collector knows the bytes that a model holds outside of its heap', async () => {
      const { most, models, bytes } = (await told('pressure')) as { most: number; models: number; bytes: number };
      assert.ok(bytes > 16e6, String(bytes));
      assert.ok(most < models / 2, `${most} of ${models} models alive at once`);
    });
  }
}

test.run();
