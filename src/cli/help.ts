/** Help texts, made from the declarations of commands and options. */
import type { Command } from './command.ts';
import { COMMANDS } from './commands/registry.ts';
import { exitCodes } from './exit-codes.ts';
import type { Option, Options } from './options.ts';

/** Help of the whole program: commands, exit statuses, where to go on. */
export function globalHelp(): string {
  const commands = Object.entries(COMMANDS).map(([name, { summary }]) => [name, summary]);
  const statuses = exitCodes().map(({ status, meaning }) => [String(status), meaning]);
  return [
    'relic-train: trains and evaluates protein-protein interaction classifiers from one YAML file',
    '',
    'usage: relic-train --config FILE [--set KEY=VALUE]... [--dry-run] [--resume auto|DIR]',
    '       relic-train COMMAND [options]',
    '',
    'commands:',
    columns(commands),
    '',
    'options:',
    columns([
      ['-h, --help', 'this text, or that of a command: relic-train pack --help'],
      ['--version', 'the version'],
    ]),
    '',
    'examples:',
    '  relic-train --config configs/demo.yaml',
    '  relic-train --config configs/v3.yaml --dry-run',
    '  relic-train --config configs/v3.yaml --set training_config.epochs=5 --set run_config.seed=1',
    '',
    'exit status:',
    columns(statuses),
    '',
  ].join('\n');
}

/** Help of one command. */
export function commandHelp(name: string, command: Command): string {
  return [
    `relic-train ${name}: ${COMMANDS[name].summary}`,
    '',
    `usage: ${usageLine(name, command.options)}`,
    '',
    command.details,
    '',
    'options:',
    columns(Object.entries(command.options).map(([key, option]) => [signature(key, option), option.description])),
    '',
    'examples:',
    ...command.examples.map((example) => `  ${example}`),
    '',
  ].join('\n');
}

function usageLine(name: string, options: Options): string {
  const required = Object.entries(options).filter(([, option]) => option.required);
  return ['relic-train', name, ...required.map(([key, option]) => signature(key, option)), '[options]'].join(' ');
}

function signature(name: string, option: Option): string {
  return option.value === undefined ? `--${name}` : `--${name} ${option.value}`;
}

/** Two columns, the first as wide as its widest cell. */
function columns(rows: readonly string[][]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join('\n');
}
