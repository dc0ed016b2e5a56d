/** The exit statuses of the program in words, for `--help` and the README. */
import { EXIT } from '../errors.ts';

/** What each exit status says about a run. */
export const EXIT_MEANINGS: Readonly<Record<keyof typeof EXIT, string>> = {
  ok: 'everything asked for was done',
  internal: 'a fault of this program: please report it with the stack it prints',
  usage: 'the command line or the config is wrong',
  data: 'pair files, sequences or embeddings are missing or wrong',
  checkpoint: 'a checkpoint is missing, damaged, unsafe or of another model',
  io: 'a file or directory cannot be written',
  engine: 'the engine asked for is not available, or the loss is not finite',
  rendezvous: 'the ranks of a run did not find each other',
  peerFailed: 'another rank failed',
  selfHung: 'this rank made no progress and stopped itself',
  preempted: 'SIGTERM or SIGUSR1, as schedulers send them; the run was saved and can be continued',
  interrupted: 'Ctrl-C; the run was saved and can be continued (a second one ends it without saving)',
  terminated: 'a second SIGTERM or SIGUSR1; the run can be continued from its last checkpoint',
};

/** Status and meaning, in ascending order. */
export function exitCodes(): { status: number; name: keyof typeof EXIT; meaning: string }[] {
  return Object.entries(EXIT)
    .map(([name, status]) => ({ status, name: name as keyof typeof EXIT }))
    .map((entry) => ({ ...entry, meaning: EXIT_MEANINGS[entry.name] }))
    .sort((a, b) => a.status - b.status);
}
