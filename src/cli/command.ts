/** What a command of the program is: one file in `commands/` exports one, and `registry.ts` names it. */
import type { Options, Values } from './options.ts';

/** Where a command writes, given to it so that a test can read it. */
export interface Output {
  /** Results: tables, JSON, help. */
  stdout(text: string): void;
  /** Everything else: warnings, progress, errors. */
  stderr(text: string): void;
}

export interface Command<O extends Options = Options> {
  /** What it does, for its own help; lines of at most 100 characters. */
  readonly details: string;
  /** Whole command lines. */
  readonly examples: readonly string[];
  readonly options: O;
  /** @throws RelicError for every failure that a user can cause. */
  run(values: Values<O>, output: Output): Promise<void>;
}

/** Infers the option types of a command from its declaration. */
export function command<const O extends Options>(declaration: Command<O>): Command<O> {
  return declaration;
}
