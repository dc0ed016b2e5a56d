/**
 * Commands by name. To add one: one file here, one line below. A command is loaded when it is called, so that help
 * and version answer at once.
 */
import type { Command } from '../command.ts';

interface Entry {
  readonly summary: string;
  load(): Promise<Command>;
}

export const COMMANDS: Readonly<Record<string, Entry>> = {
  train: {
    summary: 'run the stages of a config (the default command)',
    load: async () => (await import('./train.ts')).train as Command,
  },
  describe: {
    summary: 'show parameters, shapes, operations and the cost of a step',
    load: async () => (await import('./describe.ts')).describe as Command,
  },
  pack: {
    summary: 'pack embeddings of any source into one store that starts in milliseconds',
    load: async () => (await import('./pack.ts')).pack as Command,
  },
  simulate: {
    summary: 'write an invented interactome that can be learned',
    load: async () => (await import('./simulate.ts')).simulate as Command,
  },
  doctor: {
    summary: 'say what this machine offers: engines, CPU, writable directories',
    load: async () => (await import('./doctor.ts')).doctor as Command,
  },
};
