// Writes the generated tables of README.md: the config reference, the compat table, exit statuses and error codes.
// `node scripts/readme.mjs` updates the file, with --check it only says whether it is up to date (exit 1 if not).
import { readFileSync, writeFileSync } from 'node:fs';
import { register } from 'tsx/esm/api';

register();
const { withGeneratedTables } = await import('../test/readme-tables.ts');
const path = new URL('../README.md', import.meta.url);
const before = readFileSync(path, 'utf8');
const after = withGeneratedTables(before);
if (process.argv.includes('--check')) {
  console.log(after === before ? 'README.md is up to date' : 'README.md is stale: run node scripts/readme.mjs');
  process.exitCode = after === before ? 0 : 1;
} else {
  writeFileSync(path, after);
  console.log(after === before ? 'README.md was up to date' : 'README.md updated');
}
