/** The command line: picks the command, reads its options, turns failures into a message and an exit status. */
import { EXIT, nearest, RelicError } from '../errors.ts';
import { packageFacts } from '../stages/package-facts.ts';
import type { Output } from './command.ts';
import { COMMANDS } from './commands/registry.ts';
import { commandHelp, globalHelp } from './help.ts';
import { parseOptions } from './options.ts';

const DEFAULT_COMMAND = 'train';

/**
 * Runs one command line and returns its exit status; it throws nothing.
 * @param args what follows `relic-train`.
 */
export async function main(args: readonly string[], output: Output): Promise<number> {
  try {
    await dispatch(args, output);
    return EXIT.ok;
  } catch (error) {
    if (error instanceof RelicError) {
      if (!error.toldElsewhere) output.stderr(`relic-train: error [${error.code}] ${error.message}\n`);
      return error.exitCode;
    }
    output.stderr(`relic-train: internal error: ${error instanceof Error ? error.stack : String(error)}\n`);
    return EXIT.internal;
  }
}

async function dispatch(args: readonly string[], output: Output): Promise<void> {
  const named = args[0] !== undefined && !args[0].startsWith('-');
  const name = named ? args[0] : DEFAULT_COMMAND;
  const rest = named ? args.slice(1) : args;
  const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (entry === undefined) throw unknownCommand(name);
  const wantsHelp = rest.some((arg) => arg === '--help' || arg === '-h');
  if (!named && wantsHelp) return output.stdout(globalHelp());
  if (!named && rest.includes('--version')) return output.stdout(`${packageFacts().version}\n`);
  const command = await entry.load();
  if (wantsHelp) return output.stdout(commandHelp(name, command));
  await command.run(parseOptions(rest, command.options, named ? `relic-train ${name}` : 'relic-train'), output);
}

function unknownCommand(name: string): RelicError {
  const near = nearest(name, Object.keys(COMMANDS));
  return new RelicError('RELIC_USAGE', `unknown command ${name}`, {
    expected: Object.keys(COMMANDS).join(', '),
    fix: near === undefined ? 'see relic-train --help' : `did you mean ${near}? See relic-train --help`,
  });
}
