/** One of three ranks dies, fails or stops: the others name it within seconds and end, and nothing half-written is left. */
import { suite } from 'uvu';
import { removeProjects } from './good-runs.ts';
import { byVariables, harmed, SIZE } from './harm.ts';
import { FAULT_STATUS } from './ranks.ts';

const test = suite('process/ranks-death');
test.after(removeProjects);

const HARMS = [
  ['killed', 'SIGKILL'],
  [`ends with ${FAULT_STATUS}`, 'SIGUSR2'],
  ['stopped', 'SIGSTOP'],
] as const;

for (const rank of [0, 1, SIZE - 1]) {
  for (const [what, signal] of HARMS) {
    test(`rank ${rank} of ${SIZE} is ${what}`, () => harmed(byVariables, rank, signal));
  }
}

test.run();
