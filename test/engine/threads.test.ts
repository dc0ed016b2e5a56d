import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { chooseThreads } from '../../src/engine/threads.ts';

const test = suite('engine/threads');

/** what it is, [CPUs in the mask, of the node, ranks of the node, CPUs allotted], threads, a word of the reason */
const TABLE: [string, [number, number, number, number | null], number, RegExp][] = [
  ['one process that may use the node', [8, 8, 1, null], 8, /^all 8/],
  ['one process bound with taskset', [3, 8, 1, null], 3, /^bound to 3 of 8/],
  ['torchrun: four ranks with the mask of the node', [64, 64, 4, null], 16, /^64 CPUs shared by the 4 ranks/],
  ['ranks that do not divide the CPUs', [8, 8, 3, null], 2, /shared/],
  ['more ranks than CPUs', [2, 2, 4, null], 1, /shared/],
  ['Open MPI binds two ranks to a core each', [1, 2, 2, null], 1, /^bound to 1 of 2/],
  ['Open MPI binds four ranks to a quarter each', [16, 64, 4, null], 16, /^bound to 16 of 64/],
  ['masks that are part of the node and cannot be disjoint', [48, 64, 2, null], 24, /^48 CPUs shared/],
  ['srun confines the step, its four tasks share', [8, 64, 4, 8], 2, /^8 CPUs shared/],
  ['srun binds four tasks', [2, 64, 4, 8], 2, /^bound to 2/],
  ['srun confines nothing', [64, 64, 4, 8], 2, /^8 CPUs shared/],
  ['srun confines nothing, one task', [64, 64, 1, 8], 8, /^8 CPUs given/],
  ['Slurm counts more CPUs than there are', [4, 4, 2, 8], 2, /^4 CPUs shared/],
];
for (const [name, [allowed, node, localRanks, allotted], threads, reason] of TABLE) {
  test(name, () => {
    const chosen = chooseThreads({ requested: null, allowed, node, localRanks, allotted });
    assert.is(chosen.threads, threads);
    assert.match(chosen.reason, reason);
  });
}

test('what the config asks for is taken, whatever the machine has', () => {
  const chosen = chooseThreads({ requested: 5, allowed: 2, node: 2, localRanks: 4, allotted: null });
  assert.equal(chosen, { threads: 5, reason: 'device_config.threads' });
});

test.run();
