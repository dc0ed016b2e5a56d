import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ENVIRONMENT, launchedWorldSize, readEnv, setMpiDefaults } from '../src/env.ts';
import { assertThrowsCode } from './assert.ts';

const test = suite('env');

test('an empty environment gives the defaults, frozen', () => {
  const env = readEnv({});
  assert.equal(env, {
    ci: false,
    rank: 0,
    worldSize: 1,
    rendezvousTimeout: null,
    rankLogDirectory: null,
    cublasLtPath: null,
    ncclPath: null,
    pythonEnvironments: [],
    localRanks: 1,
    allottedCpus: null,
    nativePath: null,
    isa: null,
  });
  assert.ok(Object.isFrozen(env));
});

test('values are read', () => {
  const env = readEnv({ CI: 'true', RANK: '3', WORLD_SIZE: '4' });
  assert.equal([env.ci, env.rank, env.worldSize], [true, 3, 4]);
  assert.is(readEnv({ CI: '0' }).ci, false);
  assert.is(readEnv({ CI: '' }).ci, false);
  assert.is(readEnv({ CI: 'False' }).ci, false);
});

test('the native engine: a path made absolute, a known instruction set', () => {
  const { nativePath, isa } = readEnv({ RELIC_NATIVE: 'x/relic.node', RELIC_ISA: 'avx2' });
  assert.equal([nativePath, isa], [resolve('x/relic.node'), 'avx2']);
  assertThrowsCode(() => readEnv({ RELIC_ISA: 'sse9' }), 'RELIC_USAGE', /RELIC_ISA.*generic, avx2, avx512, neon, amx/);
});

test('the folder for the logs of ranks, made absolute', () => {
  assert.is(readEnv({ RELIC_RANK_LOG: 'ranks' }).rankLogDirectory, resolve('ranks'));
});

test('launchers in their order', () => {
  assert.is(launchedWorldSize({ WORLD_SIZE: '2', OMPI_COMM_WORLD_SIZE: '3' }), 2);
  assert.is(launchedWorldSize({ OMPI_COMM_WORLD_SIZE: '3', PMI_SIZE: '4' }), 3);
  assert.is(launchedWorldSize({ PMI_SIZE: '4', SLURM_STEP_ID: '0', SLURM_STEP_NUM_TASKS: '5' }), 4);
  assert.is(launchedWorldSize({ SLURM_STEP_ID: '0', SLURM_STEP_NUM_TASKS: '5' }), 5);
});

test('an allocation without a step has launched one process', () => {
  assert.is(launchedWorldSize({ SLURM_NTASKS: '8', SLURM_STEP_NUM_TASKS: '8' }), 1);
});

test('the processes of this node, by launcher', () => {
  const local = (variables: Record<string, string>) => {
    const { localRanks, allottedCpus } = readEnv(variables);
    return [localRanks, allottedCpus];
  };
  const step = { SLURM_STEP_ID: '0', SLURM_STEP_TASKS_PER_NODE: '4(x2),3', SLURM_CPUS_ON_NODE: '8' };
  assert.equal(local({ LOCAL_WORLD_SIZE: '2', OMPI_COMM_WORLD_LOCAL_SIZE: '3' }), [2, null]);
  assert.equal(local({ OMPI_COMM_WORLD_LOCAL_SIZE: '3', MPI_LOCALNRANKS: '4', ...step }), [3, null]);
  assert.equal(local({ MPI_LOCALNRANKS: '5', ...step }), [5, null]);
  assert.equal(local(step), [4, 8]);
  assert.equal(local({ ...step, SLURM_NODEID: '1' }), [4, 8]);
  assert.equal(local({ ...step, SLURM_NODEID: '2' }), [3, 8]);
  assert.equal(local({ SLURM_STEP_ID: '0' }), [1, null]);
  // A batch script without srun.
  assert.equal(local({ ...step, SLURM_STEP_ID: '' }), [1, null]);
  assertThrowsCode(() => local({ ...step, SLURM_NODEID: '3' }), 'RELIC_USAGE', /SLURM_NODEID/);
  assertThrowsCode(() => local({ ...step, SLURM_STEP_TASKS_PER_NODE: '4x2' }), 'RELIC_USAGE', /TASKS_PER_NODE/);
});

test('values that cannot be read are refused by name', () => {
  for (const value of ['0', '-1', 'two', '1.5'])
    assertThrowsCode(() => launchedWorldSize({ WORLD_SIZE: value }), 'RELIC_USAGE', /WORLD_SIZE/);
  assertThrowsCode(() => readEnv({ RANK: 'x' }), 'RELIC_USAGE', /RANK/);
});

test('every variable read is registered once and none is read elsewhere', () => {
  const names = ENVIRONMENT.map(({ name }) => name);
  assert.is(new Set(names).size, names.length);
  const src = join(dirname(fileURLToPath(import.meta.url)), '..', 'src');
  const readers = readdirSync(src, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('.ts') && readFileSync(join(src, name), 'utf8').includes('process.env'));
  assert.equal(readers, ['env.ts']);
});

test('MPI starts without what crashes a process with threads, unless the user wants it', () => {
  const env: Record<string, string | undefined> = { UCX_MEM_EVENTS: 'yes' };
  setMpiDefaults(env);
  assert.equal(env, { UCX_MEM_EVENTS: 'yes', UCX_HANDLE_ERRORS: 'none', OMPI_MCA_memory: '^patcher' });
});

test.run();
