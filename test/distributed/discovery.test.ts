import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { discoverRank } from '../../src/distributed/discovery.ts';
import type { RankFlags, RankPlace } from '../../src/distributed/place.ts';
import { readLaunchers } from '../../src/env.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('distributed/discovery');

type Variables = Readonly<Record<string, string>>;

const discover = (variables: Variables, flags: RankFlags | null = null) =>
  discoverRank(flags, readLaunchers(variables));

const MASTER = { MASTER_ADDR: 'n1', MASTER_PORT: '29500' };
const OPEN_MPI = {
  OMPI_COMM_WORLD_RANK: '1',
  OMPI_COMM_WORLD_SIZE: '2',
  OMPI_COMM_WORLD_LOCAL_RANK: '1',
  OMPI_COMM_WORLD_LOCAL_SIZE: '2',
  PMIX_NAMESPACE: '77',
  PMIX_RANK: '1',
};
const HYDRA = {
  PMI_RANK: '1',
  PMI_SIZE: '2',
  PMI_FD: '6',
  HYDI_CONTROL_FD: '7',
  MPI_LOCALRANKID: '1',
  MPI_LOCALNRANKS: '2',
};
const BATCH = { SLURM_JOB_ID: '9', SLURM_NTASKS: '4', SLURM_PROCID: '0', SLURM_LOCALID: '0' };
const STEP = {
  ...BATCH,
  SLURM_STEP_ID: '3',
  SLURM_PROCID: '2',
  SLURM_STEP_NUM_TASKS: '4',
  SLURM_LOCALID: '0',
  SLURM_NODEID: '1',
  SLURM_STEP_TASKS_PER_NODE: '2(x2)',
  SLURM_STEP_NODELIST: 'n[1-2]',
};
const ONE_NODE = { SLURM_NODEID: '0', SLURM_STEP_TASKS_PER_NODE: '4', SLURM_LOCALID: '2', SLURM_STEP_NODELIST: 'n1' };
const PMI2 = { ...STEP, PMI_RANK: '2', PMI_SIZE: '4', PMI_FD: '5', PMI_JOBID: '9.3' };
const FLAGS: RankFlags = {
  rank: 1,
  size: 2,
  localRank: null,
  rendezvous: { kind: 'address', host: 'n1', port: 5000 },
  runId: null,
};
const FILE: RankFlags = { ...FLAGS, localRank: 1, rendezvous: { kind: 'file', directory: '/shared' }, runId: 'r' };

type Row = readonly [name: string, variables: Variables, flags: RankFlags | null, expected: Partial<RankPlace>];

const ROWS: readonly Row[] = [
  ['nothing', {}, null, { rank: 0, size: 1, localRank: 0, localSize: 1, runId: null, meeting: { kind: 'alone' } }],
  ['options', {}, FLAGS, { rank: 1, size: 2, runId: 'n1:5000', meeting: { kind: 'address', host: 'n1', port: 5000 } }],
  ['options and a folder', {}, FILE, { localRank: 1, runId: 'r', meeting: { kind: 'file', directory: '/shared' } }],
  ['options for one rank', BATCH, { ...FLAGS, rank: 0, size: 1, rendezvous: null }, { meeting: { kind: 'alone' } }],
  [
    'torchrun',
    {
      ...MASTER,
      RANK: '5',
      WORLD_SIZE: '8',
      LOCAL_RANK: '1',
      LOCAL_WORLD_SIZE: '4',
      TORCHELASTIC_RUN_ID: 'job',
      TORCHELASTIC_RESTART_COUNT: '2',
      TORCHELASTIC_USE_AGENT_STORE: 'True',
    },
    null,
    {
      ...{ rank: 5, size: 8, localRank: 1, localSize: 4, source: 'torchrun', runId: 'job.2' },
      meeting: { kind: 'address', host: 'n1', port: 29501 },
    },
  ],
  [
    'torchrun without an id',
    { ...MASTER, RANK: '0', WORLD_SIZE: '2', TORCHELASTIC_RUN_ID: 'none' },
    null,
    { runId: 'n1:29500.0' },
  ],
  [
    'variables by hand',
    { ...MASTER, RANK: '1', WORLD_SIZE: '2' },
    null,
    {
      ...{ localRank: 0, localSize: 1, source: 'RANK and WORLD_SIZE', runId: 'n1:29500' },
      meeting: { kind: 'address', host: 'n1', port: 29500 },
    },
  ],
  [
    'variables by hand on one machine',
    { ...MASTER, MASTER_ADDR: 'localhost', RANK: '1', WORLD_SIZE: '2' },
    null,
    { localRank: 1, localSize: 2 },
  ],
  ['one rank needs no master', { RANK: '0', WORLD_SIZE: '1' }, null, { size: 1, meeting: { kind: 'alone' } }],
  [
    'Open MPI on one node',
    OPEN_MPI,
    null,
    {
      ...{ rank: 1, size: 2, localRank: 1, localSize: 2, source: 'mpirun (Open MPI)', runId: '77', others: [] },
      meeting: { kind: 'local', port: null },
    },
  ],
  [
    'Open MPI on two nodes',
    { ...OPEN_MPI, OMPI_COMM_WORLD_LOCAL_RANK: '0', OMPI_COMM_WORLD_LOCAL_SIZE: '1' },
    null,
    { meeting: { kind: 'mpi', port: null } },
  ],
  [
    'Open MPI and a master',
    { ...OPEN_MPI, ...MASTER },
    null,
    { meeting: { kind: 'address', host: 'n1', port: 29500 } },
  ],
  [
    'Open MPI and a host',
    { ...OPEN_MPI, MASTER_ADDR: 'n1' },
    null,
    { meeting: { kind: 'address', host: 'n1', port: null } },
  ],
  ['Open MPI and a port', { ...OPEN_MPI, MASTER_PORT: '5' }, null, { meeting: { kind: 'local', port: 5 } }],
  [
    'Open MPI in an allocation',
    { ...OPEN_MPI, ...BATCH },
    null,
    { source: 'mpirun (Open MPI)', others: ['Slurm was asked for 4 tasks, but srun started none of them'] },
  ],
  [
    'Hydra',
    HYDRA,
    null,
    {
      ...{ rank: 1, size: 2, localRank: 1, localSize: 2, source: 'mpirun (MPICH, Intel MPI)', runId: null },
      meeting: { kind: 'pmi', fd: 6, port: null },
    },
  ],
  ['PMI without its file', { PMI_RANK: '1', PMI_SIZE: '2' }, null, { meeting: { kind: 'mpi', port: null } }],
  [
    'Hydra in a step of its daemons',
    { ...STEP, SLURM_PROCID: '0', SLURM_STEP_NUM_TASKS: '1', SLURM_STEP_TASKS_PER_NODE: '1(x2)', ...HYDRA },
    null,
    { rank: 1, size: 2, runId: null, others: ['srun: rank 0 of 1'] },
  ],
  [
    'srun on two nodes',
    STEP,
    null,
    {
      ...{ rank: 2, size: 4, localRank: 0, localSize: 2, source: 'srun', runId: '9.3.0' },
      meeting: { kind: 'slurm', nodes: 'n[1-2]', port: null },
    },
  ],
  [
    'srun on one node, queued again',
    { ...STEP, ...ONE_NODE, SLURM_RESTART_COUNT: '1' },
    null,
    { localRank: 2, localSize: 4, runId: '9.3.1', meeting: { kind: 'local', port: null } },
  ],
  [
    'srun with PMI-2',
    PMI2,
    null,
    {
      ...{ rank: 2, size: 4, localRank: 0, localSize: 2, source: 'srun (PMI)', runId: '9.3.0' },
      ...{ meeting: { kind: 'pmi', fd: 5, port: null }, others: ['srun: rank 2 of 4'] },
    },
  ],
  [
    'srun with PMIx',
    { ...STEP, PMIX_RANK: '2' },
    null,
    { source: 'srun', others: ['PMIX_RANK=2 does not say how many ranks there are: expected '] },
  ],
  [
    'torchrun in each task of srun',
    { ...STEP, ...MASTER, RANK: '6', WORLD_SIZE: '8', LOCAL_RANK: '0', LOCAL_WORLD_SIZE: '2' },
    null,
    { rank: 6, size: 8, source: 'RANK and WORLD_SIZE', others: ['srun: rank 2 of 4'] },
  ],
  [
    'torchrun numbers as it likes',
    { ...STEP, ...MASTER, RANK: '3', WORLD_SIZE: '4', TORCHELASTIC_RUN_ID: 'x' },
    null,
    { rank: 3, source: 'torchrun' },
  ],
  ['an allocation of one task', { SLURM_JOB_ID: '9', SLURM_NTASKS: '1' }, null, { size: 1, source: 'no launcher' }],
];

for (const [name, variables, flags, expected] of ROWS) {
  test(name, () => {
    const place = discover(variables, flags);
    for (const [key, value] of Object.entries(expected)) {
      const seen = place[key as keyof RankPlace];
      if (key !== 'others') assert.equal(seen, value, key);
      else {
        const words = value as readonly string[];
        assert.is(place.others.length, words.length, place.others.join('\n'));
        for (const [i, start] of words.entries()) assert.ok(place.others[i].startsWith(start), place.others[i]);
      }
    }
  });
}

const without = (variables: Variables, name: string): Variables =>
  Object.fromEntries(Object.entries(variables).filter(([key]) => key !== name));

const REFUSED: readonly [name: string, variables: Variables, flags: RankFlags | null, message: RegExp][] = [
  ['RANK alone', { RANK: '0' }, null, /RANK=0 without WORLD_SIZE\n {2}fix: unset both, or set WORLD_SIZE/],
  ['WORLD_SIZE alone, srun or not', { ...STEP, WORLD_SIZE: '4' }, null, /WORLD_SIZE=4 without RANK/],
  ['no master', { RANK: '0', WORLD_SIZE: '2', MASTER_ADDR: 'n1' }, null, /without MASTER_PORT\n.*set MASTER_PORT/],
  ['a rank too high', { ...MASTER, RANK: '2', WORLD_SIZE: '2' }, null, /received rank 2 of 2/],
  [
    'a local rank too high',
    { ...MASTER, RANK: '1', WORLD_SIZE: '2', LOCAL_RANK: '2', LOCAL_WORLD_SIZE: '2' },
    null,
    /rank 2 of 2 on this node/,
  ],
  ['Open MPI in part', without(OPEN_MPI, 'OMPI_COMM_WORLD_SIZE'), null, /without OMPI_COMM_WORLD_SIZE/],
  ['Open MPI without local ranks', without(OPEN_MPI, 'OMPI_COMM_WORLD_LOCAL_RANK'), null, /WORLD_LOCAL_RANK/],
  ['PMI in part', without(HYDRA, 'PMI_SIZE'), null, /PMI_RANK=1 without PMI_SIZE/],
  ['a host but neither port nor run id', { ...HYDRA, MASTER_ADDR: 'n1' }, null, /without MASTER_PORT/],
  ['srun in part', without(STEP, 'SLURM_PROCID'), null, /without SLURM_PROCID/],
  ['srun without nodes', without(STEP, 'SLURM_STEP_NODELIST'), null, /without SLURM_STEP_NODELIST/],
  ['an allocation without srun', BATCH, null, /asked for 4 tasks.*fix: start with srun/s],
  ['PMIx alone', { PMIX_RANK: '1', PMIX_NAMESPACE: 'n' }, null, /how many ranks.*fix: start with srun or mpirun/s],
  ['PMI-2 and srun at odds', { ...PMI2, PMI_RANK: '1' }, null, /contradicts itself.*SLURM_PROCID=2/s],
  ['a RANK left behind in srun', { ...STEP, ...MASTER, RANK: '0', WORLD_SIZE: '4' }, null, /fix: unset RANK/],
  ['one left behind by a single process', { ...OPEN_MPI, RANK: '0', WORLD_SIZE: '1' }, null, /expected rank 1 of 2/],
  ['options at odds with mpirun', HYDRA, { ...FLAGS, rank: 0 }, /fix: leave --rank and --world-size out/],
];

for (const [name, variables, flags, message] of REFUSED) {
  test(`refused: ${name}`, () => {
    assertThrowsCode(() => discover(variables, flags), 'RELIC_RANKS', message);
  });
}

test.run();
