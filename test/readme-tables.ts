/** The tables of README.md that are generated from the source, each between its own pair of marker comments. */
import { exitCodes } from '../src/cli/exit-codes.ts';
import { compatTable } from '../src/config/compat.ts';
import { configReference } from '../src/config/reference.ts';
import { ENVIRONMENT } from '../src/env.ts';
import { ERROR_EXIT } from '../src/errors.ts';

const TABLES: Readonly<Record<string, () => string>> = {
  'config reference': configReference,
  'compat table': compatTable,
  'exit statuses': exitTable,
  'environment variables': environmentTable,
};

/** `text` with every table replaced by a fresh one. Throws when a marker is missing. */
export function withGeneratedTables(text: string): string {
  for (const [name, make] of Object.entries(TABLES)) {
    const [begin, end] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`];
    const [from, to] = [text.indexOf(begin), text.indexOf(end)];
    if (from < 0 || to < from) throw new Error(`README.md lacks "${begin}" or "${end}"`);
    text = `${text.slice(0, from + begin.length)}\n\n${make().trim()}\n\n${text.slice(to)}`;
  }
  return text;
}

function environmentTable(): string {
  const rows = ENVIRONMENT.map(({ name, meaning, default: unset }) => `| \`${name}\` | ${meaning} | ${unset} |`);
  return ['| Variable | Meaning | Where unset |', '| --- | --- | --- |', ...rows].join('\n');
}

function exitTable(): string {
  const rows = exitCodes().map(({ status, meaning }) => {
    const codes = Object.entries(ERROR_EXIT)
      .filter(([, exit]) => exit === status)
      .map(([code]) => `\`${code}\``);
    return `| ${status} | ${meaning} | ${codes.join(', ')} |`;
  });
  return ['| Status | Meaning | Error codes |', '| --- | --- | --- |', ...rows].join('\n');
}
