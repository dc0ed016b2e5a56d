/** Which process works on a run, so that no second one takes the run up while it does. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { ProcessIdentity } from '../artifacts/manifest.ts';

export function thisProcess(): ProcessIdentity {
  return { host: hostname(), pid: process.pid, started: startTime(process.pid) };
}

/** Whether that process is another one that runs now. Of another machine's processes this cannot be known: false. */
export function isRunningElsewhere({ host, pid, started }: ProcessIdentity): boolean {
  if (host !== hostname() || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return startTime(pid) === started;
}

/** Clock ticks from the boot of a Linux machine to the start of the process: field 22 of proc(5)'s stat. */
function startTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in parentheses, which may hold spaces and parentheses itself.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}
