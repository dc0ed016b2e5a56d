/** Ranks that are processes, started by each mpirun that is installed: the same training as in one process. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ShardLoss } from '../../../src/engine/engine.ts';
import { backendOf, openComm } from '../../../src/engine/native/comm.ts';
import { assertClose, assertRejectsCode } from '../../assert.ts';
import { nativeBinary } from '../engines.ts';
import { STEPS, settingsOf, shardOf, trainingModel } from './comm-run.ts';

const test = suite('engine/native/comm');
const RANK = fileURLToPath(new URL('./comm-rank.ts', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'relic-'));
test.after(() => rmSync(work, { recursive: true, force: true }));

interface Mpi {
  readonly launcher: 'openmpi' | 'mpich';
  readonly command: string;
  readonly args: readonly string[];
  /** The library of the other MPI. */
  readonly other: string;
  readonly name: RegExp;
}

/** Over the loopback interface alone, with more ranks than cores, as any user. */
const MPIS: readonly Mpi[] = [
  {
    launcher: 'openmpi',
    command: 'mpirun.openmpi',
    args: [
      '--oversubscribe',
      '--bind-to',
      'none',
      '--mca',
      'btl_tcp_if_include',
      'lo',
      '--mca',
      'oob_tcp_if_include',
      'lo',
    ],
    other: 'libmpich.so.12',
    name: /^Open MPI/,
  },
  { launcher: 'mpich', command: 'mpirun.mpich', args: ['-iface', 'lo'], other: 'libmpi.so.40', name: /^MPICH/ },
];

const isInstalled = ({ command }: Mpi) => spawnSync(command, ['--version']).status === 0;
const installed = MPIS.filter(isInstalled);
let runs = 0;

/** Runs all ranks to their end; returns the status of the launcher and what each rank told. */
async function launch(mpi: Mpi, size: number, mode: string, ...rest: string[]) {
  const folder = join(work, String(runs++));
  mkdirSync(folder);
  const rank = [process.execPath, '--import', 'tsx', RANK, mode, folder, ...rest];
  const child = spawn(mpi.command, [...mpi.args, '-n', String(size), ...rank], {
    env: { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const status = await new Promise((resolve) => child.on('close', resolve));
  // A launcher may kill a rank before it tells anything.
  const files = Array.from({ length: size }, (_, i) => join(folder, `rank.${i}.json`));
  const told = files.map((file) => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}));
  return { status, told, output };
}

test('auto is MPI where a launcher of MPI started the ranks, else Gloo', () => {
  assert.is(backendOf({ backend: 'auto', launcher: 'openmpi' }), 'mpi');
  assert.is(backendOf({ backend: 'auto', launcher: 'mpich' }), 'mpi');
  assert.is(backendOf({ backend: 'auto', launcher: 'other' }), 'gloo');
  assert.is(backendOf({ backend: 'mpi', launcher: 'other' }), 'mpi');
});

if (nativeBinary === undefined) {
  test('no binary of the native engine is here, so there are no ranks', () => {
    assert.is(nativeBinary, undefined);
  });
} else {
  const binary = nativeBinary;

  test('wrong options and a library that is not there are refused by code', async () => {
    const one = { rank: 0, size: 1, launcher: 'other' } as const;
    const mpiLibrary = '/does/not/exist.so';
    await assertRejectsCode(openComm(binary, { ...one, backend: 'gloo' }), 'RELIC_RANKS', /store/);
    await assertRejectsCode(openComm(binary, { ...one, backend: 'mpi', mpiLibrary }), 'RELIC_RANKS', /exist\.so/);
    for (const wrong of [
      { rank: 1 },
      { rank: -1 },
      { size: 0 },
      { timeoutSeconds: 0 },
      { store: {} },
      { address: 7 },
    ]) {
      const options = { ...one, backend: 'gloo', ...wrong } as never;
      await assertRejectsCode(openComm(binary, options), 'RELIC_ENGINE_CALL');
    }
  });

  for (const mpi of installed) {
    for (const size of [2, 3, 4]) {
      test(`${size} ranks under ${mpi.command}: the losses of one process, one state on all`, async () => {
        const { status, told, output } = await launch(mpi, size, 'train', mpi.launcher);
        assert.is(status, 0, output);
        const ranks = Array.from({ length: size }, (_, i) => i);
        const model = trainingModel(1);
        for (let step = 0; step < STEPS; step++) {
          const truth = await model.trainStep(
            ranks.map((rank) => shardOf(rank, step)),
            settingsOf(step),
          );
          for (const { losses } of told) {
            const seen = losses[step] as ShardLoss[];
            assert.equal(
              seen.map(({ kept }) => kept),
              truth.map(({ kept }) => kept),
            );
            assertClose(
              seen.map(({ lossSum }) => lossSum),
              truth.map(({ lossSum }) => lossSum),
              { abs: 1e-5, what: 'losses' },
            );
            assert.equal(
              seen.map(({ stop }) => stop),
              ranks.map((rank) => rank === 1 && step === STEPS - 1),
            );
          }
        }
        model.dispose();
        assert.equal(new Set(told.map(({ state }) => state)).size, 1, 'the states of the ranks differ');
        assert.match(told[0].description, mpi.name);
        assert.ok(told.every(({ counted }) => counted));
      });
    }

    test(`${mpi.command}: a second opening, a wrong sender and a call after the end are refused`, async () => {
      const { status, told, output } = await launch(mpi, 2, 'refusals', mpi.launcher);
      assert.is(status, 0, output);
      for (const { second, wrongRank, later } of told) {
        assert.match(second, /^RELIC_RANKS .*once/);
        assert.match(wrongRank, /^RELIC_ENGINE_CALL /);
        assert.match(later, /^RELIC_RANKS .*closed/);
      }
    });

    test(`${mpi.command}: a process exits at once while it waits for a rank that does not come`, async () => {
      const { status, told, output } = await launch(mpi, 2, 'exitWaiting', mpi.launcher);
      assert.equal(told[0], { exits: true }, output);
      assert.is.not(status, 0);
    });
  }

  if (installed.length === MPIS.length) {
    for (const mpi of installed) {
      test(`${mpi.command}: without a hint, the library that understands it is found`, async () => {
        const { status, told, output } = await launch(mpi, 2, 'refusals', 'other');
        assert.is(status, 0, output);
        assert.equal(
          told.map(({ opened }) => opened),
          ['yes', 'yes'],
        );
      });

      test(`the library of another MPI than ${mpi.command} says so, and is named`, async () => {
        const { told } = await launch(mpi, 2, 'refusals', mpi.launcher, mpi.other);
        for (const [rank, { code, opened }] of told.entries()) {
          assert.is(code, 'RELIC_RANKS');
          assert.match(opened, new RegExp(`expected rank ${rank} of 2.*${mpi.other}.* says rank 0 of 1`));
          assert.match(opened, /fix: /);
        }
      });
    }
  }
}

test.run();
