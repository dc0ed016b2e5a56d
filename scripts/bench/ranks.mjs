// Training throughput of ranks of one thread each against one process of as many threads, on the same pairs, in turn:
//
//   node scripts/bench/ranks.mjs [--ranks 2] [--mpirun 'mpirun.mpich -iface lo'] [--preset seed] [--batch 16] [--rounds 3]
//
// Prints pairs per second of each, their ratio, and
// the share of the step in which ranks waited for each other.
import { parseArgs } from 'node:util';
import { BENCH, median, range, short, table, trial } from './trial.mjs';

const { values } = parseArgs({
  options: {
    ranks: { type: 'string', default: '2' },
    mpirun: { type: 'string', default: 'mpirun.openmpi --oversubscribe --bind-to none' },
    preset: { type: 'string', default: 'seed' },
    lengths: { type: 'string', default: 'fixed:200' },
    batch: { type: 'string', default: '16' },
    steps: { type: 'string', default: '6' },
    rounds: { type: 'string', default: '3' },
  },
});
const { ranks, mpirun, rounds, ...shared } = values;
const step = (threads) => {
  const options = { ...shared, threads };
  return [`${BENCH}/step.mjs`, ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])];
};
const [launcher, ...launcherArgs] = mpirun.split(' ');
const kind = /openmpi/.test(launcher) ? 'openmpi' : 'mpich';

const alone = [];
const together = [];
for (let round = 0; round < Number(rounds); round++) {
  alone.push(trial(process.execPath, step(ranks)));
  together.push(trial(launcher, [...launcherArgs, '-n', ranks, process.execPath, ...step(1), '--launcher', kind]));
}
const speed = (runs) => runs.map(({ pairs_per_s }) => pairs_per_s);
const ratios = speed(together).map((each, i) => each / alone[i].pairs_per_s);
console.log(
  table(
    ['', 'pairs/s', 'range'],
    [
      [`one process, ${ranks} threads`, short(median(speed(alone))), range(speed(alone))],
      [`${ranks} ranks, 1 thread each`, short(median(speed(together))), range(speed(together))],
      ['ratio', short(median(ratios)), range(ratios)],
      ...['waited', 'total'].map((name) => {
        const shares = together.map((run) => run[`collectives_${name}_share`]);
        return [`in collectives, ${name}`, short(median(shares)), range(shares)];
      }),
    ],
  ),
);
console.log(together[0].collectives);
